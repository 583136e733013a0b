"""Vectors that retrieval compares: those of all tiles, with a feature hidden or not, and those of entities."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from geojepa_cli import console
from geojepa_cli.config.limits import DEFAULT_LIMITS
from geojepa_cli.stages.device import pick_device
from geojepa_cli.stages.embedding_model import Model
from geojepa_cli.stages.entity_probe_plan import ModelInputs, open_store
from geojepa_cli.stages.model_inputs import open_embedder
from geojepa_cli.stages.retrieval_plan import RetrievalSettings
from geojepa_cli.workspace.artifact import Artifact

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from geojepa_cli.config.spaces import Form
    from geojepa_cli.evaluate.retrieval import Feature
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.store.tile_parts import TileParts
    from geojepa_cli.store.view import View
    from geojepa_cli.tasks.entity_examples import EntityExamples
    from geojepa_cli.tasks.retrieval_spec import RetrievalSpec

    Vectors = NDArray[np.float32]
    Rows = NDArray[np.int64]


@dataclass(frozen=True)
class SearchedTiles:
    """Tiles to search, and the features that they have.

    Attributes:
        store: dataset with all regions.
        rows: rows of the n searched tiles in the dataset, ascending, int64 [n]. A tile that two regions contain is
            searched in the first one only.
        views: selection of tiles of each region, in which nothing is hidden.
        features: features, by name.
        hidden: with hidden features, by name of the feature: the selection in which it is hidden.
        changed: with hidden features, by name: indexes of the searched tiles in which something is hidden, int64.
        strongest: with hidden features, by name: visible tags that tell most about the feature, for the report.
    """

    store: TileStore
    rows: Rows
    views: list[View]
    features: dict[str, Feature]
    hidden: dict[str, View] = field(default_factory=dict)
    changed: dict[str, Rows] = field(default_factory=dict)
    strongest: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def find_tiles(regions: Sequence[Artifact], specs: Sequence[RetrievalSpec], masked: bool) -> SearchedTiles:
    """Finds the tiles to search and their features and, if `masked`, what is hidden for each feature.

    Args:
        regions: `processed/` artifacts.
        specs: definitions of the features.
        masked: hide the features.
    """
    import numpy as np

    from geojepa_cli.evaluate.retrieval import Feature
    from geojepa_cli.store.view import View
    from geojepa_cli.tasks.retrieval import hidden_view, tiles_with
    from geojepa_cli.tasks.tokens import RegionTokens
    from geojepa_cli.tasks.visible_tags import VisibleTags

    store = open_store(regions)
    tokens = [RegionTokens(region) for region in store.regions]
    whole = View.default(store, *DEFAULT_LIMITS)
    plain = [whole.region(index) for index in range(len(tokens))]
    first = np.unique(store.tile_zxy[whole.tiles], axis=0, return_index=True)[1]
    kept = np.sort(first)
    found = SearchedTiles(store, whole.tiles[kept], plain, {})
    tags = VisibleTags(tokens, plain) if masked else None
    with console.progress("find features", len(specs)) as meter:
        for done, spec in enumerate(specs, start=1):
            has = np.concatenate([tiles_with(one, spec) for one in tokens])[whole.tiles]
            found.features[spec.name] = Feature(spec.name, spec.title, has[kept])
            if tags is not None:
                parts = [hidden_view(one, spec, view) for one, view in zip(tokens, plain, strict=True)]
                changed = [part.changed + first for part, first in zip(parts, store.tile_offsets, strict=False)]
                found.hidden[spec.name] = View.concat([part.view for part in parts])
                found.changed[spec.name] = np.flatnonzero(np.isin(found.rows, np.concatenate(changed)))
                found.strongest[spec.name] = tags.strongest([part.view for part in parts], has)
            meter.update(done)
    return found


class TileSearch:
    """Unit vectors of the searched tiles of one model, by space and feature.

    Args:
        tiles: tiles to search.
        plain: vectors of the tiles with nothing hidden, [n, W].
        changed: with hidden features, by name of the feature: vectors of the tiles in which something is hidden.
        parts: name and width of each part of a vector.
    """

    def __init__(
        self, tiles: SearchedTiles, plain: Vectors, changed: Mapping[str, Vectors], parts: TileParts = ()
    ) -> None:
        self._tiles, self._plain, self._changed, self._parts = tiles, plain, changed, parts

    def in_space(self, space: Form) -> Callable[[Feature], Vectors]:
        """Returns a function that returns the unit vectors in which a feature is searched, float32 [n, W]."""
        if self._tiles.hidden:
            return lambda feature: project(self._of(feature.name), space, self._parts)
        projected = project(self._plain, space, self._parts)
        return lambda feature: projected

    def _of(self, feature: str) -> Vectors:
        rows = self._plain.copy()
        rows[self._tiles.changed[feature]] = self._changed[feature]
        return rows


def embed_hidden(
    tiles: SearchedTiles,
    regions: Sequence[Artifact],
    model: Model,
    title: str,
    inputs: ModelInputs,
    width: int,
    settings: RetrievalSettings,
) -> dict[str, Vectors]:
    """Embeds the tiles in which something is hidden, for each feature. All other tiles keep their vectors.

    Args:
        tiles: tiles to search, with hidden features.
        regions: `processed/` artifacts of the regions.
        model: model to embed with.
        title: name of the model in the table.
        inputs: artifacts that the model reads.
        width: number of dimensions of a tile vector.
        settings: device and threads.

    Returns:
        Vectors by name of the feature, float32 [changed, width].
    """
    from geojepa_cli.evaluate.embed import embed_tiles

    store, found = open_store(regions, inputs), {}
    embedder, target = open_embedder(model, store, inputs.features, settings.device), pick_device(settings.device)
    total = sum(map(len, tiles.changed.values()))
    title = f"embed with {title}, features hidden"
    with _torch_threads(settings.threads), console.progress(title, total) as meter:
        for feature, view in tiles.hidden.items():
            changed = view.restrict(tiles.rows[tiles.changed[feature]]).trimmed(store)
            found[feature] = embed_tiles(store, changed, embedder, width, target)
            meter.update(sum(map(len, found.values())))
    return found


def embed_examples(
    examples: EntityExamples,
    regions: Sequence[Artifact],
    model: Model,
    title: str,
    inputs: ModelInputs,
    settings: RetrievalSettings,
) -> Vectors:
    """Returns the vectors of the examples of an entity task, float32 [n, D].

    Args:
        examples: examples of the task.
        regions: `processed/` artifacts of the regions.
        model: model to embed with.
        title: name of the model in the table.
        inputs: artifacts that the model reads.
        settings: device and threads, and if the tags that reveal the class are hidden on all entities.
    """
    import numpy as np
    import torch

    from geojepa_cli.evaluate.entity_vectors import model_vectors
    from geojepa_cli.store.view import View
    from geojepa_cli.tasks.entity_examples import hiding_view

    store = open_store(regions, inputs)
    if settings.masked:
        view = hiding_view(store, examples, True, DEFAULT_LIMITS)
    else:
        view = View.default(store, *DEFAULT_LIMITS).restrict(np.unique(examples.tiles)).trimmed(store)
    embedder, target = open_embedder(model, store, inputs.features, settings.device), pick_device(settings.device)
    title = f"embed entities with {title}"
    with _torch_threads(settings.threads), console.progress(title, len(view.tiles)) as meter:
        return model_vectors(store, view, examples.pieces, embedder, torch.device(target), meter.update)[0.0]


def project(vectors: Vectors, space: Form, parts: TileParts = ()) -> Vectors:
    """Maps vectors [n, D] with the given parts to unit vectors in a space that is fitted to them. float32 [n, D]"""
    from geojepa_cli.search.space import SearchSpace
    from geojepa_cli.store.vector_statistics import add_rows, no_vectors

    if space == "raw":
        return SearchSpace("raw").project(vectors)
    statistics = replace(add_rows(no_vectors(vectors.shape[1]), vectors), parts=parts)
    return SearchSpace.fit([statistics], space).project(vectors)


@contextmanager
def _torch_threads(number: int) -> Iterator[None]:
    """Context manager that lets torch use a number of threads, and one thread after that, as in all searches."""
    import torch

    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(1)
