"""Vocabulary, descriptions and the text encoder."""
