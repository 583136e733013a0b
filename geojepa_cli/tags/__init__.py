"""Texts of OSM tags, and their text embeddings."""
