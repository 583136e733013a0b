"""Models that are pretrained."""
