"""GeoJEPA."""
