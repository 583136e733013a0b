"""Computes the vectors of reviewed entities, and predicts their classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from geojepa_cli import console
from geojepa_cli.stages.device import pick_device
from geojepa_cli.stages.model_inputs import open_embedder
from geojepa_cli.stages.review_plan import ReviewPlan
from geojepa_cli.workspace.artifact import Artifact

if TYPE_CHECKING:
    from geojepa_cli.evaluate.review_features import Surroundings
    from geojepa_cli.evaluate.review_findings import FamilyResult
    from geojepa_cli.models.base import Embedder
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.store.view import View
    from geojepa_cli.tasks.review_rows import ReviewRows
    from geojepa_cli.tasks.tokens import RegionTokens


def judge_families(
    plan: ReviewPlan,
    store: TileStore,
    tokens: RegionTokens,
    families: Sequence[ReviewRows],
    features: Artifact,
    device: str,
    threads: int,
) -> list[FamilyResult]:
    """Predicts the class of every reviewed entity.

    Args:
        plan: region, model and options.
        store: dataset of the region, opened with the inputs of the model.
        tokens: entities of the region.
        families: entities to review, by family.
        features: tag embeddings.
        device: device for computing vectors.
        threads: number of threads. Does not affect the result.
    """
    import torch

    from geojepa_cli.evaluate.review_features import Surroundings

    embedder = open_embedder(plan.model, store, [features], device)
    around = Surroundings(tokens)
    results = []
    for rows in families:
        torch.set_num_threads(threads)
        results.append(_judge(plan, store, around, rows, embedder, device, threads))
    torch.set_num_threads(1)
    return results


def _judge(
    plan: ReviewPlan,
    store: TileStore,
    around: Surroundings,
    rows: ReviewRows,
    embedder: Embedder,
    device: str,
    threads: int,
) -> FamilyResult:
    import torch

    from geojepa_cli.evaluate.entity_parts import make_parts
    from geojepa_cli.evaluate.entity_vectors import model_vectors, shape_vectors
    from geojepa_cli.evaluate.review_features import near_rows, simple_features
    from geojepa_cli.evaluate.review_findings import MODEL, SIMPLE, judge
    from geojepa_cli.evaluate.review_heads import out_of_fold, pool_rare
    from geojepa_cli.store.batch import OSM_TYPES
    from geojepa_cli.tasks.splits import hash_fractions

    name, view = rows.spec.name, _hiding(store, around.tokens, rows, plan)
    with console.progress(f"embed entities of `{name}`", len(view.tiles)) as meter:
        target = torch.device(pick_device(device))
        vectors = model_vectors(store, view, rows.pieces, embedder, target, meter.update)[0.0]
    near = near_rows(around, rows)
    simple = simple_features(around, rows, near, shape_vectors(store, view, rows.pieces))
    region, objects = around.tokens.region, rows.objects
    kinds, numbers = region["object/osm_type"][objects].tolist(), region["object/osm_id"][objects].tolist()
    ids = [f"{OSM_TYPES[kind]}/{number}" for kind, number in zip(kinds, numbers, strict=True)]
    order = hash_fractions(ids, f"review:{name}:{plan.seed}")
    classes = pool_rare(rows.labels)
    parts = make_parts(rows.groups, None, plan.seed)
    with console.progress(f"judge entities of `{name}`") as meter:
        by_name = {MODEL: vectors, SIMPLE: simple}
        predicted = out_of_fold(by_name, classes, parts, order, threads, lambda done, total: meter.update(done, total))
    return judge(rows, near, classes, predicted)


def _hiding(store: TileStore, tokens: RegionTokens, rows: ReviewRows, plan: ReviewPlan) -> View:
    """Selects the tiles of the reviewed entities, and hides the tags of their family on all entities."""
    import numpy as np

    from geojepa_cli.store.view import View

    hidden = np.flatnonzero(tokens.vocabulary.matches(rows.spec.hidden, whatever_value=True))
    view = View.default(store, *plan.limits).restrict(np.unique(rows.tiles)).trimmed(store)
    return replace(view.drop(tags=hidden), keep_untagged=True)
