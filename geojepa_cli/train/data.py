"""Training data: selects the tiles to train on, shuffles them and reads them in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from geojepa_cli import hints
from geojepa_cli.config.baselines import TagAEConfig
from geojepa_cli.config.data import DataConfig
from geojepa_cli.config.families import TileConfig
from geojepa_cli.config.gair import GairConfig
from geojepa_cli.config.images import DRAWN
from geojepa_cli.config.limits import MAX_FOLDS
from geojepa_cli.config.modality import IMAGES, Modality, Needs
from geojepa_cli.config.schema import PretrainConfig
from geojepa_cli.errors import DataError
from geojepa_cli.hints import Hint
from geojepa_cli.models.base import FrozenInputs, TagList
from geojepa_cli.models.image_encoders import FrozenImageEncoder
from geojepa_cli.models.jepa.inputs import check_geometry, check_images
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.csr import Rows
from geojepa_cli.store.features import open_features
from geojepa_cli.store.loader import TileLoader
from geojepa_cli.store.photo_table import PhotoTable
from geojepa_cli.store.resident import ResidentTiles
from geojepa_cli.store.sampler import TokenBudgetSampler
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View
from geojepa_cli.tasks.splits import SPLITS, fold_groups, next_to, split_groups
from geojepa_cli.train.monitor import TileMonitor

COUNTED_TOKENS = 65_536  # entities that are read at once to count their tags
FEWER = "and build the tasks with the same number of folds: each fold is then smaller"
RESIDENT_SHARE = 0.25  # maximum fraction of free GPU memory that is used for tiles; the model needs the rest


@dataclass(frozen=True)
class TrainingData:
    """Tiles to train on, and text embeddings of their tags.

    Attributes:
        store: opened dataset of one or several regions.
        view: selection from the dataset: the tiles to train on, and the entities of these tiles that are used as
            tokens.
        inputs: text embeddings of tags, on the training device.
        sampler: sampler that shuffles tiles and divides them into batches.
        needs: modalities that batches contain.
        resident: copy of all tiles in GPU memory. If None, batches are read from the files.
        split_seed: random seed that splits the tiles into train, validation and test.
    """

    store: TileStore
    view: View
    inputs: FrozenInputs
    sampler: TokenBudgetSampler
    needs: Needs
    resident: ResidentTiles | None = None
    split_seed: int = 0

    @property
    def device(self) -> torch.device:
        """Device that batches and tag embeddings are on."""
        return self.inputs.device

    @classmethod
    def open(
        cls,
        config: TileConfig,
        processed: Sequence[Path],
        features: Sequence[Path],
        images: Sequence[Path | None],
        seed: int,
        geometry: Sequence[Path] | None = None,
        image_tokens: Sequence[Path | None] | None = None,
        image_encoder: FrozenImageEncoder | None = None,
        photos: Sequence[Sequence[Path]] = (),
    ) -> TrainingData:
        """Opens the training data of one or several regions.

        Args:
            config: configuration of the training run. It limits the entities per tile and the tokens per batch.
            processed: path of `processed.h5` of each region.
            features: path of `tags.h5` of each region.
            images: path of `images.h5` of each region, or None for a region without images.
            seed: random seed of the order of the tiles.
            geometry: path of `geometry.h5` of each region. Required if the model reads geometry.
            image_tokens: path of `image_tokens.h5` of each region, or None for a region without images. Required if the
                model reads tokens of a frozen image encoder.
            image_encoder: the frozen image encoder. Required if `masking.pixels` is true.
            photos: paths of the `photos.h5` of each region. Required if `ground.photos` is true.

        Raises:
            DataError: no tile is left to train on, the width of the tag embeddings is not `model.tag_dim`, or the
                geometry vectors or image tokens are not those that the configuration requires.
        """
        _check_files(config, geometry, image_tokens, image_encoder)
        store = TileStore.open(
            processed,
            images if IMAGES & config.needs else None,
            geometry=geometry if Modality.GEOMETRY in config.needs else None,
            image_tokens=image_tokens if Modality.IMAGE_TOKENS in config.needs else None,
        )
        table = open_features(features, store).table
        if not isinstance(config, TagAEConfig) and table.shape[1] != config.model.tag_dim:
            raise DataError(
                f"tag embeddings have {table.shape[1]} dimensions, but `model.tag_dim` is {config.model.tag_dim}",
                hints.again(set={"model.tag_dim": table.shape[1]}),
            )
        _check_kinds(config, store)
        limits = config.data.min_entities, config.data.max_entities
        view = View.default(store, *limits, imagery_only=isinstance(config, GairConfig))
        if config.data.fold is not None:
            view = view.restrict(_outside_fold(store, view, config.data), "tiles of the fold or next to it")
        elif config.data.exclude_test_groups:
            view = view.restrict(_outside_test(store, view, config.data.split_seed), "tiles of test groups")
        if len(view.tiles) == 0:
            raise DataError(f"no tile is left to train on: {_describe_drops(view)}", _widen(store, config))
        # block=1 mixes tiles of all lengths in a batch, which the losses need; attention groups tiles by length anyway
        image = config.model.tokens_per_image if isinstance(config, PretrainConfig | GairConfig) else 0
        sizes = store.lengths(view), config.train.batch_tokens
        sampler = TokenBudgetSampler(view.tiles, *sizes, seed, block=1, tile_cost=image)
        tags = count_tags(store, view) if isinstance(config, TagAEConfig) else TagList(store.keys, store.values)
        shown = _open_photos(store, view, photos) if isinstance(config, GairConfig) and config.ground.photos else None
        inputs = FrozenInputs(table, store.geometry_kind, store.image_kind, image_encoder, tags, shown)
        return cls(store, view, inputs, sampler, config.training_needs, split_seed=config.data.split_seed)

    def n_batches(self, epoch: int) -> int:
        """Returns the number of batches in an epoch."""
        return self.sampler.n_batches(epoch)

    def batches(self, epoch: int, indices: Sequence[int]) -> Iterator[TileBatch]:
        """Yields batches of an epoch, on the training device.

        Args:
            epoch: number of the epoch. The order of the tiles differs between epochs.
            indices: indices of the batches to yield, in this order.
        """
        plan = self.sampler.plan(epoch)
        rows = (plan[index] for index in indices)
        if self.resident is not None:
            yield from map(self.resident.read, rows)
            return
        pinned = self.device.type == "cuda"
        loader = TileLoader(self.store, self.view, needs=self.needs, pin_memory=pinned, device=self.device)
        yield from loader.read(rows)

    def monitor(self, seed: int) -> TileMonitor:
        """Returns the monitor that computes figures of a model, always on the same random tiles."""
        return TileMonitor.open(self.store, self.view, self.needs, self.device, seed, self.split_seed)

    def batch_tokens(self, budget: int) -> int:
        """Returns the number of tokens in the largest possible batch, to estimate the memory of training.

        Args:
            budget: maximum number of tokens in a batch. A tile with more tokens is a batch by itself.
        """
        costs = self.sampler.lengths + self.sampler.tile_cost
        return int(max(costs.max(initial=0), min(budget, costs.sum())))

    def to(self, device: torch.device, free_bytes: int | None = None) -> TrainingData:
        """Returns a copy of the training data for a device.

        The tag embeddings are copied to the device. All tiles are copied too if they need at most the fraction
        `RESIDENT_SHARE` of the device's free memory.

        Args:
            device: device to train on.
            free_bytes: free memory of the device, in bytes. If None, the free memory of a GPU is queried from CUDA.
                On a CPU, None means that tiles are not copied.
        """
        if free_bytes is None:
            free_bytes = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
        spare = RESIDENT_SHARE * free_bytes
        fits = spare > 0 and ResidentTiles.estimate_bytes(self.store, self.view, needs=self.needs) <= spare
        resident = ResidentTiles(self.store, self.view, device, needs=self.needs) if fits else None
        return replace(self, inputs=self.inputs.to(device), resident=resident)


def _check_files(
    config: TileConfig,
    geometry: Sequence[Path] | None,
    image_tokens: Sequence[Path | None] | None,
    image_encoder: FrozenImageEncoder | None,
) -> None:
    """Checks that all arguments of `TrainingData.open` that the model needs are given.

    Raises:
        ValueError: an argument is missing.
    """
    if Modality.GEOMETRY in config.needs and geometry is None:
        raise ValueError("the model reads geometry: pass the `geometry.h5` of each region")
    if Modality.IMAGE_TOKENS in config.needs and image_tokens is None:
        raise ValueError("the model reads image tokens: pass the `image_tokens.h5` of each region")
    if isinstance(config, PretrainConfig) and config.masking.pixels and image_encoder is None:
        raise ValueError("the model masks pixels: pass the image encoder")


def _check_kinds(config: TileConfig, store: TileStore) -> None:
    """Checks that geometry vectors and image tokens are those that the configuration requires.

    Raises:
        DataError: they are of another encoder, version or width.
    """
    if isinstance(config, PretrainConfig) and store.geometry_kind is not None:
        check_geometry(config.model, store.geometry_kind)
    if isinstance(config, PretrainConfig) and store.image_kind is not None:
        check_images(config.model, store.image_kind)


def _open_photos(store: TileStore, view: View, photos: Sequence[Sequence[Path]]) -> PhotoTable:
    """Opens the photos of the regions.

    Raises:
        DataError: no photo is in a tile to train on.
    """
    paths = [(path, region.zoom) for region, some in zip(store.regions, photos, strict=True) for path in some]
    table = PhotoTable.open([path for path, _ in paths], [zoom for _, zoom in paths])
    if not len(table.in_tiles(store.tile_zxy[view.tiles])[0]):
        message = f"none of the {len(table):,} photos is in a tile to train on"
        raise DataError(message, hints.again(set={"ground.photos": "false"}))
    return table


def count_tags(store: TileStore, view: View) -> TagList:
    """Lists the tags of a dataset, and counts for each tag the entities that have it.

    Args:
        store: opened dataset.
        view: selection of the tiles, entities and tags to count.
    """
    counts = np.zeros(store.n_vocab, np.int64)
    for rows in TokenBudgetSampler(view.tiles, store.lengths(view), COUNTED_TOKENS, shuffle=False).plan(0):
        counts += np.bincount(store.read(view, rows).tag_ids.numpy(), minlength=len(counts))
    return TagList(store.keys, store.values, counts)


def _outside_test(store: TileStore, view: View, seed: int) -> Rows:
    """Returns the indices of all tiles of `view` that are not in the test split. [tiles]

    Args:
        store: opened dataset, which the indices refer to.
        view: part of the dataset that is used.
        seed: random seed that splits the tiles into train, validation and test.
    """
    return view.tiles[split_groups(store.groups[view.tiles], seed) != SPLITS.index("test")]


def _outside_fold(store: TileStore, view: View, config: DataConfig) -> Rows:
    """Returns the indices of all tiles of `view` that are not in or next to the fold `config.fold`. [tiles]

    A fold is a set of zoom-14 groups. Groups next to a group of the fold are left out only if that group has a tile in
    the dataset.
    """
    tested = store.groups[fold_groups(store.groups, config.folds, config.split_seed) == config.fold]
    return view.tiles[~next_to(store.groups[view.tiles], np.unique(tested))]


def _describe_drops(view: View) -> str:
    dropped = [f"{count:,} {reason}" for reason, count in view.counts.items() if count and reason.startswith("tiles")]
    return f"removed {', '.join(dropped)}" if dropped else "the regions are empty"


def _widen(store: TileStore, config: TileConfig) -> Hint:
    """Returns a hint for the error that no tile is left to train on.

    If the regions have no entities, the hint is `geojepa tile`. If no tile of a model that needs images has one, it is
    `geojepa tile` with drawn images. If the limits on the number of entities exclude all tiles, the hint is the failed
    command with wider limits. Otherwise, all remaining tiles are in the test split or near the fold, and the hint is
    the failed command with the setting that includes them.
    """
    counts = store.lengths(View.default(store, 1, None))
    low, high = config.data.min_entities, config.data.max_entities
    if not len(counts) or not counts.max():
        return hints.run("tile", region=store.regions[0].name)
    if isinstance(config, GairConfig) and (store.image_rows < 0).all():
        return hints.run("tile", region=[region.name for region in store.regions], imagery=DRAWN)
    if not ((counts >= low) & (counts <= high)).any():
        return hints.again(set={"data.min_entities": 1, "data.max_entities": max(high, int(counts.max()))})
    if config.data.fold is not None:
        return hints.again(set={"data.folds": MAX_FOLDS}).noting(FEWER)
    return hints.again(set={"data.exclude_test_groups": "false"})
