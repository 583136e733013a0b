"""Context and target masks."""
