"""Encoders of geometry: each converts the points, lines and polygons of an entity to one vector."""
