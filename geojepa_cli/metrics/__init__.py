"""Metrics and simple fitted models, as pure functions of tensors and arrays."""
