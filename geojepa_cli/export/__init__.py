"""Formats for other tools and readers."""
