"""Finds, verifies, locks and publishes artifacts. A stage of the pipeline makes an artifact: a directory of files."""
