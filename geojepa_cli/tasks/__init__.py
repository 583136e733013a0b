"""Prediction tasks: definitions, labels of tiles, masks of revealing tags, splits, and statistics of tags."""
