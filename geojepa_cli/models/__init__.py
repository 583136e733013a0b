"""Model families, the two protocols that models implement, and the registry that finds models by name."""
