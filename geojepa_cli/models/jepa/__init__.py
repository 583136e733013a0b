"""GeoJEPA: joint-embedding predictive architecture on tiles (thesis 7)."""
