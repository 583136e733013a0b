"""Network layers for packed tokens."""
