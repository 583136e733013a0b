"""Two-digit multipolygons from font outlines: labelled geometry that trains and tests the geometry encoder."""
