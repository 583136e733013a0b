"""Network layers, tokens, masks and losses. Code in this package works on tensors, not on files or configurations."""
