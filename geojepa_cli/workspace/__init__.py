"""Finds, verifies, locks and publishes artifacts on disk."""
