"""The generated demo city: OSM map, aerial images and known labels of the tasks."""
