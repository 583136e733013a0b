"""Baselines: simple models that trained models are compared with. Each file has one baseline."""
