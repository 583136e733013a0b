"""Tokens from the tensors of a batch."""
