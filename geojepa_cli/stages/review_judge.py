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
    from geojepa_cli.evaluate.entity_fitting import Vectors
    from geojepa_cli.evaluate.review_features import Surroundings
    from geojepa_cli.evaluate.review_findings import FamilyResult
    from geojepa_cli.models.base import Embedder
    from geojepa_cli.store.store import TileStore
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
        vectors = compute_vectors(plan, store, tokens, rows, embedder, device)
        torch.set_num_threads(1)  # with one thread, results do not depend on the number of cores
        results.append(judge_rows(plan, store, around, rows, vectors, threads))
    return results


def compute_vectors(
    plan: ReviewPlan, store: TileStore, tokens: RegionTokens, rows: ReviewRows, embedder: Embedder, device: str
) -> Vectors:
    """Computes the model's vectors of the entities of one family, with the tags of the family hidden on all entities.

    Args:
        plan: region, model and options.
        store: dataset of the region, opened with the inputs of the model.
        tokens: entities of the region.
        rows: the n entities.
        embedder: model, already on `device`.
        device: device for computing vectors.

    Returns:
        float32 [n, D].
    """
    import numpy as np
    import torch

    from geojepa_cli.evaluate.entity_vectors import model_vectors
    from geojepa_cli.store.view import View

    hidden = np.flatnonzero(tokens.vocabulary.matches(rows.spec.hidden, whatever_value=True))
    view = View.default(store, *plan.limits).restrict(np.unique(rows.tiles)).trimmed(store)
    view = replace(view.drop(tags=hidden), keep_untagged=True)
    with console.progress(f"embed entities of `{rows.spec.name}`", len(view.tiles)) as meter:
        return model_vectors(store, view, rows.pieces, embedder, torch.device(pick_device(device)), meter.update)[0.0]


def judge_rows(
    plan: ReviewPlan, store: TileStore, around: Surroundings, rows: ReviewRows, vectors: Vectors, threads: int
) -> FamilyResult:
    """Predicts the class of the entities of one family.

    Args:
        plan: region, model and options.
        store: dataset of the region.
        around: surroundings of the region's entities.
        rows: the n entities.
        vectors: the model's vectors of these entities, float32 [n, D].
        threads: number of threads. Does not affect the result.
    """
    import numpy as np

    from geojepa_cli.evaluate.entity_parts import make_parts
    from geojepa_cli.evaluate.entity_vectors import shape_vectors
    from geojepa_cli.evaluate.review_features import near_rows, simple_features
    from geojepa_cli.evaluate.review_findings import MODEL, SIMPLE, judge
    from geojepa_cli.evaluate.review_heads import out_of_fold, pool_rare
    from geojepa_cli.store.view import View
    from geojepa_cli.tasks.splits import hash_fractions

    name, region = rows.spec.name, around.tokens.region
    view = View.default(store, *plan.limits).restrict(np.unique(rows.tiles)).trimmed(store)
    near = near_rows(around, rows)
    simple = simple_features(around, rows, near, shape_vectors(store, view, rows.pieces))
    kinds, numbers = (region[f"object/{part}"][rows.objects].tolist() for part in ("osm_type", "osm_id"))
    ids = [f"{kind}/{number}" for kind, number in zip(kinds, numbers, strict=True)]
    order = hash_fractions(ids, f"review:{name}:{plan.seed}")
    classes = pool_rare(rows.labels)
    parts = make_parts(rows.groups, None, plan.seed)
    with console.progress(f"judge entities of `{name}`") as meter:
        predicted = out_of_fold({MODEL: vectors, SIMPLE: simple}, classes, parts, order, threads, meter.update)
    return judge(rows, near, classes, predicted)
