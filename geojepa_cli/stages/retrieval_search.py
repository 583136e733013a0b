"""Searches for tiles with map features, and for entities by class: what is searched, and the vectors of each model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from geojepa_cli.config.limits import DEFAULT_LIMITS
from geojepa_cli.stages.embeddings import make_embeddings
from geojepa_cli.stages.entity_probe_plan import ModelInputs, find_inputs, open_store
from geojepa_cli.stages.model_labels import label_models
from geojepa_cli.stages.probe_protocols import find_protocols
from geojepa_cli.stages.probe_report import TileVectors
from geojepa_cli.stages.retrieval_plan import FEATURES, PER_CLASS, RetrievalPlan, RetrievalSettings
from geojepa_cli.stages.retrieval_vectors import TileSearch, embed_examples, embed_hidden, find_tiles, project
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from geojepa_cli.evaluate.protocols import Protocol
    from geojepa_cli.evaluate.retrieval import Feature, Row
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.tasks.entity_spec import EntitySpec

    InRow = tuple[Row, Callable[[Feature], NDArray[np.float32]]]


@dataclass(frozen=True)
class Search:
    """A search that is ready to run.

    Attributes:
        name, title: its name, and its title in tables.
        definitions: definitions of the features or of the entity task, by name.
        features: features or classes.
        groups: group of each searched tile or entity, int64 [n].
        places: texts of each searched tile or entity, by column of `queries.csv`.
        rows: function that yields the rows of the table with their vectors.
        labels: name of each model in the table.
        protocols: protocol of each model, by its reference.
        inputs: artifacts that are read, except regions and models.
        facts: more entries of the report.
    """

    name: str
    title: str
    definitions: dict[str, dict[str, Any]]
    features: list[Feature]
    groups: NDArray[np.int64]
    places: dict[str, list[str]]
    rows: Callable[[], Iterator[InRow]]
    labels: list[str]
    protocols: Mapping[str, Protocol]
    inputs: list[Artifact]
    facts: dict[str, Any]


def tile_search(workspace: Workspace, plan: RetrievalPlan, settings: RetrievalSettings) -> Search:
    """Prepares the search for map features. Computes missing embeddings."""
    from geojepa_cli.evaluate.retrieval import Row

    tiles = find_tiles(plan.regions, plan.features, settings.masked)
    groups = tiles.store.groups
    embedded = [
        [
            make_embeddings(workspace, model, region, None, False, settings.device, settings.threads, DEFAULT_LIMITS)
            for region in plan.regions
        ]
        for model in plan.models
    ]
    labels = label_models(plan.models, embedded)
    inputs = _inputs(workspace, plan, settings) if settings.masked else [None] * len(plan.models)

    def rows() -> Iterator[InRow]:
        reader = TileVectors()
        for model, label, artifacts, files in zip(plan.models, labels, embedded, inputs, strict=True):
            plain, changed = reader.read(tiles.store, tiles.rows, artifacts), {}
            if files is not None:
                width = plain.shape[1]
                changed = embed_hidden(tiles, plan.regions, model, label, files, width, settings)
            vectors = TileSearch(tiles, plain, changed, reader.parts(artifacts))
            for space in settings.spaces:
                yield Row(label, space), vectors.in_space(space)

    hidden = {
        name: {"tiles_changed": len(changed), "strongest": tiles.strongest[name]}
        for name, changed in tiles.changed.items()
    }
    alone = plan.features[0] if len(plan.features) == 1 else None
    return Search(
        alone.name if alone else FEATURES,
        alone.title if alone else "map features",
        {one.name: one.resolved() for one in plan.features},
        list(tiles.features.values()),
        groups[tiles.rows],
        _places(tiles.store, tiles.rows),
        rows,
        labels,
        find_protocols(plan.models, groups[tiles.rows], groups),
        [*(one for row in embedded for one in row), *(one for each in inputs if each for one in each.artifacts)],
        {"searched": "tiles", "hidden": hidden},
    )


def entity_search(workspace: Workspace, plan: RetrievalPlan, spec: EntitySpec, settings: RetrievalSettings) -> Search:
    """Prepares the search for entities of the same class."""
    from geojepa_cli.evaluate.entity_predictions import entity_refs
    from geojepa_cli.evaluate.retrieval import Feature, Row
    from geojepa_cli.tasks.entity_examples import find_examples

    store = open_store(plan.regions)
    examples = find_examples(store, spec, PER_CLASS, settings.seed)
    inputs = _inputs(workspace, plan, settings)
    labels = label_models(plan.models, [one.images for one in inputs])

    def rows() -> Iterator[InRow]:
        for model, label, files in zip(plan.models, labels, inputs, strict=True):
            found = embed_examples(examples, plan.regions, model, label, files, settings)
            for space in settings.spaces:
                yield Row(label, space), _always(project(found, space))

    classes = [Feature(name, name, examples.labels == place) for place, name in enumerate(examples.classes)]
    facts = {"searched": "entities", "per_class": PER_CLASS, "left_out": examples.counts}
    if settings.masked:
        facts["hidden_rules"] = [rule.written() for rule in spec.hidden]
    return Search(
        spec.name,
        spec.title,
        {spec.name: spec.resolved()},
        classes,
        examples.groups,
        {"entity": entity_refs(store, examples), **_places(store, examples.tiles)},
        rows,
        labels,
        find_protocols(plan.models, examples.groups, store.groups),
        [one for each in inputs for one in each.artifacts],
        facts,
    )


def _always(vectors: NDArray[np.float32]) -> Callable[[Feature], NDArray[np.float32]]:
    """Returns a function that returns the same vectors for every feature."""
    return lambda feature: vectors


def _inputs(workspace: Workspace, plan: RetrievalPlan, settings: RetrievalSettings) -> list[ModelInputs]:
    return [find_inputs(workspace, one, plan.regions, settings.device, settings.threads) for one in plan.models]


def _places(store: TileStore, tiles: NDArray[np.int64]) -> dict[str, list[str]]:
    """Returns tile, region and group of each row, for `queries.csv`."""
    regions = [store.regions[index].name for index in store.tile_regions(tiles).tolist()]
    return {"tile": store.tile_names(tiles), "region": regions, "group": store.group_names(tiles)}
