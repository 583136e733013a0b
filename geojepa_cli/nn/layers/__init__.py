"""Layers on packed tokens."""
