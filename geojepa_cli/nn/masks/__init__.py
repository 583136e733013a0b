"""Masks of context tokens and target tokens."""
