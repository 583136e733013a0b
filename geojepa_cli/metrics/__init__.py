"""Pure tensors and arrays in, figures out."""
