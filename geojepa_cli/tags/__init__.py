"""Tags: their texts and text embeddings."""
