"""Models behind two protocols, and the registry that finds them by name."""
