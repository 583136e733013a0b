"""Monitors a model of tiles during training: detects collapse, measures the use of each modality, and runs probes.

All figures are computed on the same tiles, which are read once and kept on the device. The number of these tiles and of
their entities is limited. So one check of the model costs about as much as one training step of the configuration
`tiny`, whatever the size of the dataset.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from geojepa_cli.config.modality import Modality, Needs
from geojepa_cli.evaluate.plots.latents import plot_latents
from geojepa_cli.metrics.rankme import rankme_centred
from geojepa_cli.metrics.spread import Spread, similarities, spread
from geojepa_cli.models.base import BatchVectors, Pretrainable
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.csr import Rows
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View
from geojepa_cli.tasks.splits import SPLITS, split_groups
from geojepa_cli.train.alarms import Finding, find_collapse, find_unused
from geojepa_cli.train.probing import OnlineProbe

MONITOR_TILES = 128  # tiles whose vectors are checked for collapse
MONITOR_TOKENS = 16_384  # maximum number of their entities
EXCHANGED_TILES = 32  # tiles whose modalities are exchanged
MAX_RANK_ROWS = 4096

LABELS = {"tiles": "tile vectors", "tokens": "entity vectors", "image": "vectors of image patches"}


@dataclass(frozen=True)
class Look:
    """Result of one check of a model during training.

    Attributes:
        figures: figures for the training log, by name.
        findings: signs of a collapse. Empty for a healthy model.
        draw: function that writes a picture of the vectors, with a title, to a PNG file. None if there is no picture.
    """

    figures: dict[str, float]
    findings: tuple[Finding, ...] = ()
    draw: Callable[[str, Path], None] | None = None


@dataclass(frozen=True)
class TileMonitor:
    """Checks a model during training, always on the same tiles.

    Attributes:
        fixed: tiles that are checked for collapse.
        plain: some of these tiles, to measure the use of each modality.
        exchanged: dict from modality to a copy of `plain` in which entities (or tiles) have exchanged their data of
            this modality. Has no entry for a modality that fewer than two entities or tiles have.
        probe: online probe on held-out tiles, or None if there are too few tiles.
    """

    fixed: TileBatch
    plain: TileBatch
    exchanged: Mapping[Modality, TileBatch] = field(default_factory=dict)
    probe: OnlineProbe | None = None

    @classmethod
    def open(
        cls, store: TileStore, view: View, needs: Needs, device: torch.device, seed: int, split_seed: int
    ) -> TileMonitor:
        """Selects and reads the tiles on which the model is checked.

        Args:
            store: opened dataset.
            view: tiles to train on.
            needs: modalities that the model reads.
            device: device of the model.
            seed: random seed of the selection.
            split_seed: random seed that splits the tiles into train, validation and test. The probe never uses tiles of
                the test split, even if the model is trained on them.
        """
        rows = draw_tiles(store, view, view.tiles, MONITOR_TILES, seed)
        fixed = store.read(view, rows, needs=needs).to(device)
        plain = store.read(view, rows[:: max(1, len(rows) // EXCHANGED_TILES)], needs=needs)
        read: set[Modality] = {Modality.IMAGE if modality == Modality.IMAGE_TOKENS else modality for modality in needs}
        exchanged = {modality: exchange(plain, modality).to(device) for modality in sorted(read & can_exchange(plain))}
        split = split_groups(store.groups[view.tiles], split_seed)
        probe = OnlineProbe.open(
            store,
            view,
            draw_tiles(store, view, view.tiles[split == SPLITS.index("train")], OnlineProbe.FIT_TILES, seed),
            draw_tiles(store, view, view.tiles[split == SPLITS.index("val")], OnlineProbe.TEST_TILES, seed),
            needs,
            device,
        )
        return cls(fixed, plain.to(device), exchanged, probe)

    def __call__(self, model: Pretrainable[TileBatch]) -> Look:
        """Computes all figures of a model. The caller disables gradients."""
        vectors = model.embed(self.fixed)
        figures, findings = collapse_figures(vectors, self.fixed.cu_seqlens)
        before = model.embed(self.plain) if self.exchanged else None
        for modality, batch in self.exchanged.items():
            assert before is not None
            change = relative_change(before, model.embed(batch), batch, modality)
            if change is not None:
                figures[f"sensitivity_{modality}"] = change
                findings += find_unused(modality, change)
        if self.probe is not None:
            figures |= self.probe(model)
        return Look(figures, tuple(findings), functools.partial(self._draw, vectors))

    def _draw(self, vectors: BatchVectors, title: str, path: Path) -> None:
        tensors = (vectors.tiles, vectors.entities, self.fixed.box, self.fixed.cu_seqlens)
        tiles, entities, boxes, cu = (tensor.detach().double().cpu().numpy() for tensor in tensors)
        plot_latents(tiles, entities, boxes, cu.astype(np.int64), title, path)


def draw_tiles(store: TileStore, view: View, tiles: Rows, count: int, seed: int) -> Rows:
    """Draws random tiles whose entities together do not exceed `MONITOR_TOKENS`. Returns their rows in ascending order.

    Args:
        store: opened dataset.
        view: selection from the dataset.
        tiles: rows of the tiles to choose from, all of them in the view.
        count: maximum number of tiles.
        seed: random seed.
    """
    rng = np.random.Generator(np.random.PCG64([seed, 0xF1D]))
    rows = rng.choice(tiles, size=min(count, len(tiles)), replace=False)
    entities = np.cumsum(store.compiled(view).lengths[rows])
    return np.sort(rows[: max(1, int(np.searchsorted(entities, MONITOR_TOKENS, side="right")))])


def collapse_figures(vectors: BatchVectors, cu_seqlens: Tensor) -> tuple[dict[str, float], list[Finding]]:
    """Computes figures that show a collapse of vectors, and finds collapses.

    Args:
        vectors: vectors of the tiles, the entities and the image patches of a batch.
        cu_seqlens: cumulative entity counts of the tiles. [B+1]

    Returns:
        The findings, and a dict with these keys. NAME is `tiles` for tile vectors, `tokens` for entity vectors, and
        `image` for vectors of image patches.

        - `rankme_NAME`: effective rank. The mean vector is subtracted first, because it would add 1 to the rank.
        - `std_NAME`: standard deviation of a dimension, averaged over the dimensions.
        - `variance_min_NAME`, `variance_median_NAME`, `variance_max_NAME`: variance of a dimension.
        - `dead_NAME`: share of dead dimensions, see `Spread`.
        - `spread_NAME`: distance of the vectors from their mean, relative to their length, see `Spread`.
        - `similarity_tokens`: mean cosine similarity between each entity vector and the mean entity vector. The value
          is 1 if all entity vectors are equal.
        - `similarity_within`, `similarity_between`: mean cosine similarity between the vectors of two entities of a
          tile, and of two entities of different tiles.
    """
    figures: dict[str, float] = {}
    findings: list[Finding] = []
    for name, x in _groups(vectors):
        found, rank = spread(x), rankme_centred(x)
        figures |= {f"rankme_{name}": rank, f"std_{name}": found.std, **_spread_figures(name, found)}
        findings += find_collapse(name, LABELS[name], found, rank, len(x), x.shape[1])
    tokens = vectors.entities.float()
    figures["similarity_tokens"] = float(F.cosine_similarity(tokens, tokens.mean(0, keepdim=True)).mean())
    within, between = similarities(tokens, cu_seqlens)
    return {**figures, "similarity_within": within, "similarity_between": between}, findings


def can_exchange(batch: TileBatch) -> frozenset[Modality]:
    """Returns the modalities of a batch that at least two entities or tiles have."""
    counts = {Modality.TAGS: batch.n_tokens}
    counts |= {modality: len(x) for modality, x in _rows_of(batch).items()}
    return frozenset(modality for modality, count in counts.items() if count > 1)


def exchange(batch: TileBatch, modality: Modality) -> TileBatch:
    """Returns a copy of a batch in which each entity (or image) has the data of another one.

    The other entity is half a batch away, so that it is in a different tile.

    Args:
        batch: tiles, on the CPU.
        modality: modality whose data are exchanged.
    """
    if modality != Modality.TAGS:
        found = {name: getattr(batch, name) for name in _FIELDS[modality]}
        moved = {name: x.roll(len(x) // 2, 0) for name, x in found.items() if x is not None}
        return replace(batch, **moved)
    order = torch.arange(batch.n_tokens).roll(batch.n_tokens // 2)
    counts = batch.tag_offsets.diff()[order]
    offsets = F.pad(counts.cumsum(0), (1, 0))
    starts = (batch.tag_offsets[:-1][order] - offsets[:-1]).repeat_interleave(counts)
    return replace(batch, tag_ids=batch.tag_ids[starts + torch.arange(len(starts))], tag_offsets=offsets)


def relative_change(before: BatchVectors, after: BatchVectors, batch: TileBatch, modality: Modality) -> float | None:
    """Returns how much vectors change when entities (or tiles) exchange their data of a modality.

    This is the root mean square change of the vectors, divided by their root mean square distance from their mean. For
    images, the vectors of tiles with images are compared. For other modalities, the vectors of entities are compared.

    Args:
        before: vectors of the unchanged batch.
        after: vectors of the batch with exchanged data.
        batch: the batch with exchanged data.
        modality: modality whose data were exchanged.

    Returns:
        The relative change. It is 0 if the vectors do not depend on the modality, and about 1.4 if they depend on
        nothing else. None if all vectors were equal before.
    """
    old, new = before.entities, after.entities
    if modality == Modality.IMAGE:
        assert batch.image_tiles is not None
        old, new = before.tiles[batch.image_tiles], after.tiles[batch.image_tiles]
    old, new = old.double(), new.double()
    distance = (old - old.mean(0)).square().mean()
    ratio = float(((new - old).square().mean() / distance).sqrt())
    return ratio if np.isfinite(ratio) else None


# fields of a batch with one row per image, or per entity
_FIELDS = {Modality.IMAGE: ("images", "image_tokens"), Modality.GEOMETRY: ("geometry",)}


def _rows_of(batch: TileBatch) -> dict[Modality, Tensor]:
    found = {name: getattr(batch, name, None) for names in _FIELDS.values() for name in names}
    return {modality: x for modality, names in _FIELDS.items() for name in names if (x := found[name]) is not None}


def _groups(vectors: BatchVectors) -> Iterator[tuple[str, Tensor]]:
    for name, x in (("tiles", vectors.tiles), ("tokens", vectors.entities), ("image", vectors.patches)):
        if x is not None and len(x):
            yield name, x[:: -(-len(x) // MAX_RANK_ROWS)]


def _spread_figures(name: str, found: Spread) -> dict[str, float]:
    kept = {"dead": found.dead, "spread": found.relative}
    kept |= {key: getattr(found, key) for key in ("variance_min", "variance_median", "variance_max")}
    return {f"{key}_{name}": value for key, value in kept.items()}
