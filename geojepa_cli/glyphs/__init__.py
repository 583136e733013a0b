"""Multipolygons in the shape of two-digit numbers, drawn from fonts. They train and test the geometry encoder."""
