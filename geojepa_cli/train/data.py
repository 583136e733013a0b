"""The tiles of a training run: which, in what order, and their tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from geojepa_cli.config.modality import Modality, Needs
from geojepa_cli.config.schema import PretrainConfig
from geojepa_cli.errors import DataError
from geojepa_cli.nn.tokens.image import IMAGE_PX
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.csr import Rows
from geojepa_cli.store.features import open_features
from geojepa_cli.store.loader import TileLoader
from geojepa_cli.store.resident import ResidentTiles
from geojepa_cli.store.sampler import TokenBudgetSampler
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View
from geojepa_cli.tasks.splits import SPLITS, split_groups

CPU = torch.device("cpu")
RESIDENT_SHARE = 0.25  # of a device's free memory that tiles may take: the rest is for the model and its activations


@dataclass(frozen=True)
class TrainingData:
    """Tiles to train on, and the frozen text embedding of every tag.

    Attributes:
        store, view: the dataset and what is seen of it.
        tag_table: float32 [V, tag_dim].
        sampler: the order of the tiles.
        needs: the modalities that are read.
        device: where batches go.
        resident: all tiles on the device, where they fit; None has batches read from the files, ahead of their use.
    """

    store: TileStore
    view: View
    tag_table: Tensor
    sampler: TokenBudgetSampler
    needs: Needs
    device: torch.device = CPU
    resident: ResidentTiles | None = None

    @classmethod
    def open(
        cls,
        config: PretrainConfig,
        processed: Sequence[Path],
        features: Sequence[Path],
        images: Sequence[Path | None],
        seed: int,
    ) -> TrainingData:
        """Opens the files of one or several regions.

        Args:
            config: which tiles, and the token budget.
            processed, features, images: `processed.h5`, `tags.h5` and, where there are any, `images.h5` of each region.
            seed: of the order of the tiles.

        Raises:
            DataError: no tile is left, or the features are of another width than the model's `tag_dim`.
        """
        with_images = "image" in config.model.modalities
        store = TileStore.open(processed, images if with_images else None)
        table = open_features(features, store).table
        if table.shape[1] != config.model.tag_dim:
            raise DataError(
                f"tag embeddings have {table.shape[1]} values, `model.tag_dim` is {config.model.tag_dim}",
                hint=f"--set model.tag_dim={table.shape[1]}",
            )
        view = View.default(store, config.data.min_entities, config.data.max_entities)
        if config.data.exclude_test_groups:
            view = view.restrict(_outside_test(store, view, config.data.split_seed), "tiles of test groups")
        if len(view.tiles) == 0:
            raise DataError("no tile is left to train on: " + _reasons(view), hint="--set data.min_entities=1")
        patches = (IMAGE_PX // config.model.patch_px) ** 2 if with_images else 0
        # attention groups tiles by length itself: batches can stay mixed, as the losses over a batch want them
        sampler = TokenBudgetSampler(
            view.tiles, store.lengths(view), config.train.batch_tokens, seed, block=1, tile_cost=patches
        )
        return cls(store, view, table, sampler, frozenset(Modality(name) for name in config.model.modalities))

    def batches(self, epoch: int, position: int) -> Iterator[TileBatch]:
        """The batches of an epoch from `position` on, on the device."""
        if self.resident is not None:
            yield from map(self.resident.read, self.sampler.batches(epoch, position))
            return
        pinned = self.device.type == "cuda"
        loader = TileLoader(
            self.store, self.view, self.sampler, needs=self.needs, pin_memory=pinned, device=self.device
        )
        yield from loader.epoch(epoch, position)

    def fixed_batch(self, tiles: int, seed: int) -> TileBatch:
        """The same few tiles every time, for figures that can be compared along the training."""
        rng = np.random.Generator(np.random.PCG64([seed, 0xF1D]))
        rows = rng.choice(self.view.tiles, size=min(tiles, len(self.view.tiles)), replace=False)
        return self.store.read(self.view, np.sort(rows), needs=self.needs)

    def to(self, device: torch.device, free_bytes: int | None = None) -> TrainingData:
        """The same on a device: the tag table, and all tiles where they take a small part of its memory.

        Args:
            free_bytes: memory to spare; None asks CUDA, and has a CPU read the files, which it maps.
        """
        if free_bytes is None:
            free_bytes = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
        spare = RESIDENT_SHARE * free_bytes
        fits = spare > 0 and ResidentTiles.estimate_bytes(self.store, self.view, needs=self.needs) <= spare
        resident = ResidentTiles(self.store, self.view, device, needs=self.needs) if fits else None
        return replace(self, tag_table=self.tag_table.to(device), device=device, resident=resident)


def _outside_test(store: TileStore, view: View, seed: int) -> Rows:
    """Kept tiles outside the test groups of the tasks' split."""
    return view.tiles[split_groups(store.groups[view.tiles], seed) != SPLITS.index("test")]


def _reasons(view: View) -> str:
    dropped = [f"{count} {reason}" for reason, count in view.counts.items() if count and reason.startswith("tiles")]
    return ", ".join(dropped) or "the regions are empty"
