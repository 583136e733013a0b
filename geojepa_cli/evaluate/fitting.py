"""Fits the prediction heads of a probe, several at the same time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from geojepa_cli.config.heads import SEEDED, TWO_PART
from geojepa_cli.evaluate.fit_jobs import Progress, run_jobs
from geojepa_cli.evaluate.folds import Floats, Fold, ProbeData, Rows
from geojepa_cli.evaluate.heads import predict_dummy, predict_head, predict_two_parts
from geojepa_cli.evaluate.predictions import DUMMY, DUMMY_HEAD
from geojepa_cli.evaluate.scores import Predicted
from geojepa_cli.metrics.label_forms import Prediction
from geojepa_cli.tasks.labels import label_range

# (fold, limits of predictions, seed, True if the fold has all labels) -> predictions
Supervised = Callable[[Fold, tuple[float, float], int, bool], Prediction]
SUPERVISED_HEAD = "supervised"  # name of the head of a model that is trained on labels, end to end
Vectors = Mapping[str, NDArray[np.float32]]
Key = tuple[str, str]  # names of model and head
Runs = Sequence[Sequence[Fold]]  # folds of each seed
SLOWEST = ("boosting", "mlp", "sgd", "linear")  # heads: slow ones start first, so that none runs alone at the end


class _Job(NamedTuple):
    """One fit of a head.

    Attributes:
        share: index of the share of the labels, in the list of shares.
        run: index of the seed, from 0.
        fold: tiles to fit to and tiles to test on.
        model, head: names of model and head.
    """

    share: int
    run: int
    fold: Fold
    model: str
    head: str


def fit_heads(
    data: ProbeData,
    vectors: Vectors,
    heads: Sequence[str],
    shares: Sequence[Runs],
    seed: int,
    threads: int,
    progress: Progress,
    supervised: Mapping[str, Supervised],
) -> list[dict[Key, Predicted]]:
    """Fits every head to the vectors of every model, and predicts the labels of test tiles.

    Models that are trained on labels come first, one by one, because they use the global random generator.

    Args:
        data: labels of the n tiles of the task.
        vectors: vectors of these tiles by name of the model, float32 [n, d].
        heads: names of the heads.
        shares: folds to use, as `shares[share][seed]`. The first share has all labels, so its folds are the same for
            all seeds. The other shares have fewer training labels, which were drawn with the seed.
        seed: first seed.
        threads: number of heads to fit at the same time. Does not affect the result: each head is fitted on one core.
        progress: function called after each fit with the number of finished fits and the total number of fits.
        supervised: function that trains and tests each model that is trained on labels, by name of the model.

    Returns:
        For each share, a dict from (model, head) to the predictions of the head, including Dummy. If all labels are
        used, heads that do not depend on the seed are fitted only once.
    """
    predictions = [_empty(data, vectors, heads, len(runs), place > 0) for place, runs in enumerate(shares)]
    for found, runs in zip(predictions, shares, strict=True):
        found |= {(model, SUPERVISED_HEAD): _nothing(len(runs), data) for model in supervised}
    jobs = []
    for place, runs in enumerate(shares):
        for run, folds in enumerate(runs):
            for fold in folds:
                if place or not run:
                    dummy = predictions[place][DUMMY, DUMMY_HEAD].labels
                    dummy[run, fold.test] = predict_dummy(data.labels, fold)
                wanted = [head for head in heads if place or not run or head in SEEDED]
                jobs += [_Job(place, run, fold, model, head) for model in vectors for head in wanted]
    jobs.sort(key=lambda job: SLOWEST.index(job.head))
    own = [(place, run, fold) for place, runs in enumerate(shares) for run, folds in enumerate(runs) for fold in folds]
    trained = len(own) * len(supervised)
    total = trained + len(jobs)
    for done, (model, (place, run, fold)) in enumerate(product(supervised, own), start=1):
        clamp = label_range(data.labels[fold.train], data.clamp)
        predicted = supervised[model](fold, clamp, seed + run, place == 0)
        _fill(predictions[place][model, SUPERVISED_HEAD], (run, fold.test), predicted)
        progress(done, total)
    with ThreadPoolExecutor(threads, initializer=lambda: torch.set_num_threads(1)) as pool:
        run_jobs(pool, _fit, [(job, data, vectors, seed, predictions[job.share]) for job in jobs], progress, trained)
    return predictions


def _fit(job: _Job, data: ProbeData, vectors: Vectors, seed: int, found: Mapping[Key, Predicted]) -> None:
    """Fits one head, and writes its predictions for the test tiles into `found`."""
    clamp = label_range(data.labels[job.fold.train], data.clamp)
    given: tuple[Any, ...] = (data.groups, job.fold, clamp, seed + job.run)
    x, place = vectors[job.model], (job.run, job.fold.test)
    plain = found[job.model, job.head]
    if not data.two_part:
        _fill(plain, place, predict_head(job.head, x, data.labels, *given))
        return
    assert data.absent is not None
    predicted, parts = predict_two_parts(job.head, x, data.labels, data.absent, *given)
    _fill(plain, place, predicted)
    both = found[job.model, TWO_PART.format(job.head)]
    assert both.presence is not None and both.value is not None
    both.labels[place], both.presence[place], both.value[place] = parts.combined, parts.presence, parts.value


def _fill(predicted: Predicted, place: tuple[int, Rows], found: Prediction) -> None:
    assert predicted.scores is not None
    predicted.labels[place], predicted.scores[place] = found


def _empty(data: ProbeData, vectors: Vectors, heads: Sequence[str], seeds: int, drawn: bool) -> dict[Key, Predicted]:
    """Returns arrays for the predictions of Dummy and of all heads, filled with NaN.

    Args:
        data: labels of the task.
        vectors: vectors by name of the model.
        heads: names of the heads.
        seeds: number of seeds.
        drawn: True if the training labels are drawn with a seed. Then the predictions of all heads depend on the seed.
    """
    found = {(DUMMY, DUMMY_HEAD): Predicted(_nan(seeds if drawn else 1, data))}
    for model in vectors:
        for head in heads:
            runs = seeds if drawn or head in SEEDED else 1
            found[model, head] = _nothing(runs, data)
            if data.two_part:
                labels, presence, value = (_nan(runs, data) for _ in range(3))
                found[model, TWO_PART.format(head)] = Predicted(labels, None, presence, value)
    return found


def _nothing(runs: int, data: ProbeData) -> Predicted:
    return Predicted(_nan(runs, data), _nan(runs, data))


def _nan(runs: int, data: ProbeData) -> Floats:
    return np.full((runs, len(data.labels)), np.nan)
