"""HTML page of a heatmap: where images, or locations, are similar to a query."""
