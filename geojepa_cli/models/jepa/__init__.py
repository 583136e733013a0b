"""GeoJEPA: joint-embedding predictive architecture on map tiles (GeoJEPA thesis, chapter 7)."""
