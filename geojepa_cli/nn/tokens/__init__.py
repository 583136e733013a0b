"""Tokenizer: computes tokens of entities and image patches from a batch of tiles."""
