"""Street-level photos of several regions, found by the tiles that contain them."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.store.image_form import SIZE_PX
from geojepa_cli.store.photos import PhotoStore

_MASK = (1 << 62) - 1


@dataclass(frozen=True)
class PhotoBatch:
    """Photos as tensors.

    Attributes:
        pixels: red, green and blue, rows from the top. uint8 [P, 3, 224, 224]
        heading: direction in degrees clockwise from north, NaN if unknown. float32 [P]
        field_of_view: horizontal field of view in degrees, NaN if unknown. float32 [P]
    """

    pixels: Tensor
    heading: Tensor
    field_of_view: Tensor

    def __len__(self) -> int:
        return len(self.pixels)

    def to(self, device: torch.device | str) -> PhotoBatch:
        """Returns a copy on a device."""
        return PhotoBatch(self.pixels.to(device), self.heading.to(device), self.field_of_view.to(device))


class PhotoTable:
    """Photos of several `photos.h5`, numbered from 0.

    Attributes:
        lonlat: longitude and latitude of each photo in degrees. float64 [n, 2]
        ids: an id of each photo below 0, which depends on its name and place alone. int64 [n]
    """

    def __init__(self, stores: Sequence[PhotoStore], zooms: Sequence[int]) -> None:
        """Takes opened files, and the zoom of the tiles that the photos of each file are looked up by."""
        self.stores = tuple(stores)
        self._starts = np.cumsum([0, *(len(store) for store in stores)])
        none = np.zeros((0, 2))
        self.lonlat = np.concatenate([none, *(np.stack([store.lon, store.lat], 1) for store in stores)])
        self.ids = np.array([_id(store, row) for store in stores for row in range(len(store))], np.int64)
        tiles = [store.tiles(zoom) for store, zoom in zip(stores, zooms, strict=True)]
        self._keys = _keys(np.concatenate([np.zeros((0, 3), np.int64), *tiles]))
        self._order = np.argsort(self._keys, kind="stable")

    @classmethod
    def open(cls, paths: Sequence[Path | str], zooms: Sequence[int]) -> PhotoTable:
        """Opens files.

        Raises:
            DataError: a file is damaged, or its photos are not 224 px wide.
        """
        stores = [PhotoStore(path) for path in paths]
        for store in stores:
            if store.size_px != SIZE_PX:
                message = f"photos of `{store.path}` are {store.size_px} px wide, expected {SIZE_PX} px"
                raise DataError(message, hints.run("fetch", photos="DIR"))
        return cls(stores, zooms)

    def __len__(self) -> int:
        return len(self.ids)

    def in_tiles(self, zxy: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Finds the photos in tiles.

        Args:
            zxy: zoom, column and row of each tile. [B, 3]
        Returns:
            Numbers of photos, and for each the index of its tile: int64 [P] each, ordered by tile.
        """
        wanted, known = _keys(zxy), self._keys[self._order]
        first, last = (np.searchsorted(known, wanted, side=side) for side in ("left", "right"))
        counts = last - first
        tile = np.repeat(np.arange(len(wanted)), counts)
        inside = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        return self._order[np.repeat(first, counts) + inside], tile

    def read(self, numbers: NDArray[np.int64]) -> PhotoBatch:
        """Reads photos. `numbers`: numbers of photos, [P]"""
        pixels = np.zeros((len(numbers), 3, SIZE_PX, SIZE_PX), np.uint8)
        angles = np.full((2, len(numbers)), np.nan, np.float32)
        for place, number in enumerate(numbers.tolist()):
            store, row = self.find(number)
            pixels[place] = store.image[row]
            angles[:, place] = store.heading[row], store.field_of_view[row]
        return PhotoBatch(torch.from_numpy(pixels), *torch.from_numpy(angles))

    def find(self, number: int) -> tuple[PhotoStore, int]:
        """Returns the file and the row of a photo, given its number."""
        index = int(np.searchsorted(self._starts, number, side="right")) - 1
        return self.stores[index], number - int(self._starts[index])


def _keys(zxy: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(zxy[:, 0] << 56 | zxy[:, 1] << 28 | zxy[:, 2])


def _id(store: PhotoStore, row: int) -> int:
    place = struct.pack("<2d", float(store.lon[row]), float(store.lat[row]))
    digest = hashlib.blake2b(place + store.name(row).encode(), digest_size=8).digest()
    return -1 - (int.from_bytes(digest, "big") & _MASK)
