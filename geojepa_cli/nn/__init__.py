"""Network layers, tokens, masks and losses. All code here takes tensors, never files or configurations."""
