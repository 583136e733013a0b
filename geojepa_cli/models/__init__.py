"""Models: their common protocols, a registry that finds models by name, and the GeoJEPA architecture."""
