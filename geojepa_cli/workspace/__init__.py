"""Finds, verifies, locks and publishes artifacts: directories of files that the stages make."""
