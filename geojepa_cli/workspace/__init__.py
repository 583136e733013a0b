"""Artifacts on disk: find, verify, lock, publish."""
