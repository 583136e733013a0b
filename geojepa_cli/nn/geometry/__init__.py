"""Frozen encoders of geometry. Each one turns the points, lines and polygons of an entity into one vector."""
