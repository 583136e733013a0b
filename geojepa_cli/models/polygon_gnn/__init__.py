"""Geometry encoder PolygonGNN: supervised training on numbers from font outlines, and embeddings of geometry."""
