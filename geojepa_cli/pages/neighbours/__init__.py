"""HTML page with the map tiles or entities that are most similar to a query."""
