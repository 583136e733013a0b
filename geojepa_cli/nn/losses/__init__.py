"""Loss functions, each a pure function of tensors."""
