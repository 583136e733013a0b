"""Generator of the demo city: an invented OSM map, aerial images, and the correct task labels of all tiles."""
