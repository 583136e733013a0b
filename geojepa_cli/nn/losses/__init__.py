"""Loss functions. Each is a pure function of tensors."""
