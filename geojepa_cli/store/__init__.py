"""Reading and writing the data of regions: memory-mapped files, views, and batches of tiles as tensors."""
