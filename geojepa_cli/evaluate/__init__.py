"""Embed tiles, probe the vectors, compare and report."""
