"""From disk to tensors: memory-mapped columns, views, and the one gather."""
