"""Exact search for similar tiles and entities."""
