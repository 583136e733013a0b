"""HTML page of `geojepa report`: tables, plots, error maps and the tiles with the largest errors."""
