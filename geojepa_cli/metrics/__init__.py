"""Metrics, nearest neighbours and simple regression models, as functions of tensors and arrays."""
