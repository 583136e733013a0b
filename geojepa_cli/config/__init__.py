"""Configuration: schema, loading, packed presets."""
