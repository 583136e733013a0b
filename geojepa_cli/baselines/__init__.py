"""Baselines: simple models to compare trained models with, one per file."""
