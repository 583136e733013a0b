"""geojepa: embeddings of map tiles and map entities by masked latent prediction."""

__version__ = "0.1.0"
