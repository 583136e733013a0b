"""Trained models that come with the package: one folder for each model, made by `tools/ship_model.py`."""
