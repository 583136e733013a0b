"""Configuration: schema, loading and packaged presets."""
