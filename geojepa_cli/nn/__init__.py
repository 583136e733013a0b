"""The model: modules and functions on tensors only, with no strings, files or configs."""
