"""Text embeddings of OSM tags: descriptions of tags as text, and a text encoder."""
