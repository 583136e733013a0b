"""Measures of an entity probe: computes vectors, scores, context ratios and curves, and the content of the report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from geojepa_cli import console
from geojepa_cli.config.limits import DEFAULT_LIMITS
from geojepa_cli.config.modality import Modality
from geojepa_cli.stages.device import pick_device
from geojepa_cli.stages.embedding_model import Model
from geojepa_cli.stages.entity_probe_parts import Found
from geojepa_cli.stages.entity_probe_plan import EntityPlan, ModelInputs, open_store
from geojepa_cli.stages.model_inputs import open_embedder
from geojepa_cli.stages.model_labels import label_models

if TYPE_CHECKING:
    from geojepa_cli.evaluate.context_ratio import Shift
    from geojepa_cli.evaluate.entity_fitting import EntityVectors
    from geojepa_cli.evaluate.protocols import Protocol
    from geojepa_cli.models.base import Embedder
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.store.view import View

PREDICTIONS_FILE, PLOT_FILE, CURVE_FILE = "predictions.csv", "plot.png", "curve.png"

Shifts = dict[float, "list[Shift]"]  # by weight alpha


class _Measured(NamedTuple):
    vectors: EntityVectors
    shifts: dict[str, Shifts]  # by name of the model


def measure(
    plan: EntityPlan,
    inputs: list[ModelInputs],
    found: Found,
    protocols: Mapping[str, Protocol],
    folder: Path,
    device: str,
    threads: int,
) -> dict[str, Any]:
    """Computes vectors and scores, writes the predictions and the plots, and returns the content of the report.

    Args:
        plan: task, regions, models and options.
        inputs: artifacts that each model reads.
        found: examples and their parts.
        protocols: protocol of each model, by its reference.
        folder: folder to write `predictions.csv`, `plot.png` and, for a curve, `curve.png` to.
        device: device for computing vectors.
        threads: number of threads. Does not affect the result.
    """
    import torch

    from geojepa_cli.evaluate.entity_predictions import entity_report, write_entity_predictions
    from geojepa_cli.evaluate.entity_probe import run_entity_probe
    from geojepa_cli.evaluate.entity_tags import visible_tags
    from geojepa_cli.evaluate.plots.entity_probe import plot_entity_curve, plot_entity_probe
    from geojepa_cli.tasks.entity_examples import hiding_view

    torch.set_num_threads(threads)
    store, examples, settings = open_store(plan.regions), found.examples, plan.settings
    view = hiding_view(store, examples, settings.hide == "all", DEFAULT_LIMITS)
    labels = label_models(plan.models, [one.images for one in inputs])
    vectors, shifts = _measure_models(plan, labels, inputs, found, view, device)
    tags = visible_tags(store, view, examples.pieces)
    torch.set_num_threads(1)  # with one thread, results do not depend on the number of cores
    data = (examples.labels, examples.classes, examples.groups, tags.bare, found.parts, plan.evaluation)
    with console.progress(f"probe {plan.spec.name}") as meter:
        result = run_entity_probe(vectors, *data, settings.seed, threads, meter.update)
    write_entity_predictions(folder / PREDICTIONS_FILE, store, examples, tags, result)
    plot_entity_probe(result, plan.spec.title, folder / PLOT_FILE)
    content = {
        "task": plan.spec.name,
        "key": plan.spec.key,
        "regions": [region.ref for region in plan.regions],
        "hidden_rules": [rule.written() for rule in plan.spec.hidden],
        **entity_report(store, examples, tags, result, found.rare),
        "protocols": {ref: one.to_json() for ref, one in protocols.items()},
    }
    _add_protocols(content["scores"], dict(zip(labels, plan.models, strict=True)), protocols)
    if settings.context:
        content["context"] = {name: [one.to_json() for one in of_alpha[0.0]] for name, of_alpha in shifts.items()}
    if result.curve:
        content["curve"] = _curve(result.curve, shifts)
        plot_entity_curve(content["curve"], plan.spec.title, folder / CURVE_FILE)
    return content


def _add_protocols(
    scores: list[dict[str, Any]], models: Mapping[str, Model], protocols: Mapping[str, Protocol]
) -> None:
    from geojepa_cli.evaluate.protocols import NO_PRETRAINING

    for score in scores:
        model = models.get(score["model"])
        protocol = NO_PRETRAINING if model is None else protocols[model.ref].name
        score |= {"ref": None if model is None else model.ref, "protocol": protocol}


def _curve(curve: Mapping[str, Any], shifts: Mapping[str, Shifts]) -> list[dict[str, Any]]:
    """Returns the points of all models: scores, differences from alpha 0, and context ratios if they were measured."""
    points = []
    for name, of_model in curve.items():
        for point in of_model:
            score = point.score.to_json()
            figures = {key: score[key] for key in ("accuracy", "balanced", "average_precision")}
            around = shifts.get(name, {}).get(point.alpha)
            context = None if around is None else around[-1].to_json()
            points.append(
                {
                    "model": name,
                    "alpha": point.alpha,
                    **figures,
                    "difference": point.difference.to_json(),
                    "context": context,
                }
            )
    return points


def _measure_models(
    plan: EntityPlan, labels: list[str], inputs: list[ModelInputs], found: Found, view: View, device: str
) -> _Measured:
    """Computes the vectors of the examples by name of the model or baseline, and the context ratios of the models."""
    import torch

    from geojepa_cli.baselines.tag_counts import TagCounts
    from geojepa_cli.evaluate.entity_fitting import EntityVectors
    from geojepa_cli.evaluate.entity_vectors import COUNTS, model_vectors, reference_vectors
    from geojepa_cli.models.base import FrozenInputs, TagList
    from geojepa_cli.stages.features import FILE as FEATURES_FILE
    from geojepa_cli.store.features import open_features

    settings, pieces = plan.settings, found.examples.pieces
    alphas = settings.alphas or (0.0,)
    linear: dict[str, Any] = {}
    shifted: dict[str, Any] = {}
    shifts: dict[str, Shifts] = {}
    target = torch.device(pick_device(device))
    for model, label, files in zip(plan.models, labels, inputs, strict=True):
        store = open_store(plan.regions, files)
        embedder = open_embedder(model, store, files.features, device)
        with console.progress(f"embed entities with {label}", len(view.tiles)) as meter:
            vectors = model_vectors(store, view, pieces, embedder, target, meter.update, alphas)
        linear[label] = vectors.pop(0.0)
        shifted |= {label: vectors} if settings.alphas else {}
        if settings.context and Modality.NODES in embedder.needs:
            console.warn(f"`--context` is skipped for `{label}`, which reads the vertices of entities")
        elif settings.context:
            shifts[label] = _context(plan, store, found, embedder, target)
    table = open_features([one.file(FEATURES_FILE) for one in inputs[0].features], store).table
    counter = TagCounts(FrozenInputs(table, tags=TagList(store.keys, store.values)))
    with console.progress("compute simple features", len(view.tiles)) as meter:
        simple = reference_vectors(store, view, pieces, table, counter, meter.update)
    boosted = {COUNTS: simple.pop(COUNTS)}
    return _Measured(EntityVectors(linear | simple, boosted, shifted), shifts)


def _context(plan: EntityPlan, store: TileStore, found: Found, embedder: Embedder, device: Any) -> Shifts:
    """Returns the context ratio of a model by class, with all tags visible, as a mean over the seeds."""
    import numpy as np

    from geojepa_cli.evaluate.context_ratio import context_ratio, draw_exchanges, mean_shifts
    from geojepa_cli.store.view import View

    examples, alphas = found.examples, plan.settings.alphas
    view = View.default(store, *DEFAULT_LIMITS).restrict(np.unique(examples.tiles)).trimmed(store)
    kinds = np.empty(len(examples.pieces), np.uint8)
    for index, region in enumerate(store.regions):
        own = examples.regions == index
        objects = region["piece/object"][examples.pieces[own] - store.piece_offsets[index]]
        kinds[own] = region["object/kind"][objects]
    runs = []
    with console.progress("exchange tags and surroundings", plan.settings.seeds) as meter:
        for done, seed in enumerate(plan.settings.all_seeds, start=1):
            exchanges = draw_exchanges(examples.pieces, examples.tiles, examples.labels, kinds, seed)
            runs.append(context_ratio(store, view, exchanges, examples.classes, embedder, device, alphas))
            meter.update(done)
    return {alpha: mean_shifts([run[alpha] for run in runs]) for alpha in alphas}
