"""Embedding of tiles, probes on the vectors, comparison of models, and reports."""
