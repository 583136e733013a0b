"""Reading and writing the data of regions: HDF5 files, selections of tiles and tags, and batches as tensors."""
