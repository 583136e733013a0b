"""Photos as ground views: the places of a batch at which street-level photos were taken."""

from __future__ import annotations

import numpy as np
import torch

from geojepa_cli.grid import tile_uv
from geojepa_cli.models.gair.queries import Queries, images_of_tiles, move
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.photo_table import PhotoBatch, PhotoTable


def add_photos(
    queries: Queries, batch: TileBatch, table: PhotoTable, limit: int, noise_m: float, rng: torch.Generator
) -> tuple[Queries, PhotoBatch]:
    """Draws photos in the tiles of a batch, and adds their places to those of entities.

    A photo is its own object, and has its own set of tags, so only places near it and the same photo are no negatives.

    Args:
        queries: places of entities.
        batch: tiles with images.
        table: photos of the dataset.
        limit: maximum number of photos.
        noise_m: standard deviation of the noise added to each coordinate of the places, in metres.
        rng: random generator on the CPU.
    Returns:
        All places, those of photos last; and the photos. Places that the noise moved out of their tile are left out.
    """
    device = batch.tile_zxy.device
    zxy = batch.tile_zxy.cpu().numpy()
    image = images_of_tiles(batch).cpu().numpy()
    numbers, tile = table.in_tiles(zxy)
    shown = image[tile] >= 0
    numbers, tile = numbers[shown], tile[shown]
    drawn = torch.randperm(len(numbers), generator=rng)[:limit].numpy()
    numbers, tile = numbers[drawn], tile[drawn]
    lonlat = table.lonlat[numbers]
    if noise_m:
        lonlat = move(lonlat, torch.randn(len(numbers), 2, generator=rng, dtype=torch.float64) * noise_m)
    z, x, y = zxy[tile].T
    uv = tile_uv(z, x, y, lonlat)
    kept = ((uv >= 0.0) & (uv <= 1.0)).all(1)
    numbers, tile, lonlat, uv = numbers[kept], tile[kept], lonlat[kept], uv[kept]
    ids = torch.from_numpy(table.ids[numbers])
    found = Queries(
        entity=torch.full((len(numbers),), -1, dtype=torch.int64),
        image=torch.from_numpy(image[tile].astype(np.int64)),
        uv=torch.from_numpy(uv).float(),
        lonlat=torch.from_numpy(lonlat),
        groups=torch.stack([ids, ids], dim=1),
    )
    joined = Queries(*(torch.cat([a, b.to(device)]) for a, b in zip(queries, found, strict=True)))
    return joined, table.read(numbers).to(device)
