"""Geometry encoder PolygonGNN: training on numbers that are drawn from fonts, and computing embeddings."""
