"""Computes embeddings of tiles, tests them with probes, compares models, and makes reports and plots."""
