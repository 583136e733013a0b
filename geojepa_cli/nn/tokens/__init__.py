"""Tokens of entities and image patches, computed from a batch of tiles."""
