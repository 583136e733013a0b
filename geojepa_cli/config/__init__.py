"""Training configurations: their schema, loading from files, and the configurations that come with the package."""
