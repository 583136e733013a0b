"""Probe: tests how well prediction heads on tile vectors predict the labels of a task, compared with a baseline.

The baseline, named Dummy, predicts the median of the training labels for every tile.

Mean absolute errors (MAE) have confidence intervals from a bootstrap, which resamples groups. A group is the set of
all tiles in the same zoom-14 tile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.console import counted
from geojepa_cli.evaluate.fit_jobs import Progress
from geojepa_cli.evaluate.fitting import Key, Supervised, Vectors, fit_heads
from geojepa_cli.evaluate.folds import Floats, Fold, ProbeData, make_folds
from geojepa_cli.evaluate.label_shares import LabelCount, count_labels, with_share
from geojepa_cli.evaluate.predictions import DUMMY, DUMMY_HEAD
from geojepa_cli.evaluate.scores import Predicted, Score, score
from geojepa_cli.tasks.splits import FEW_TEST_GROUPS, RANDOM_SPLIT, few_tested


@dataclass(frozen=True)
class CurvePoint:
    """Scores of all heads that were fitted to a share of the labels: one point of a learning curve.

    Attributes:
        labels: number of labels that the heads were fitted to.
        scores: one score for each model and head; the score of Dummy is the first.
    """

    labels: LabelCount
    scores: list[Score]


@dataclass(frozen=True)
class ProbeResult:
    """Scores and predictions of a probe.

    Attributes:
        evaluation: `test split`: the task's test split is tested. `task folds`: the folds of the task are tested.
            `cross-validation`: new folds are made and tested.
        groups: number of tested groups (zoom-14 tiles).
        tiles: number of tested tiles, without tiles with label 0 that were removed to reduce their number (thinning).
        tiles_unthinned: number of tested tiles, including those that were removed by thinning.
        test_groups: number of groups (zoom-14 tiles) in the task's test split. A task without folds is tested by
            `cross-validation` if this number is below 20 (for a random split: if it is 0), or if the task has fewer
            than 20 training tiles.
        folds: number of folds; 1 for the evaluation `test split`.
        scores: one score for each model and head; the score of Dummy is the first.
        predictions: predictions of each head with s seeds, float64 [s, n], by (model, head); NaN for tiles that were
            not tested. s is 1 for heads that do not depend on the seed.
        unrounded: the same before predictions were rounded to 0 or 1. Empty if the task has other labels.
        fold: fold in which each tile was tested, int64 [n]; -1 for tiles that were not tested.
        buffer: True if groups next to tested groups were used neither for training nor for validation.
        random: True if each tile was assigned to a split separately.
        labels: number of labels that the heads were fitted to.
        curve: scores with fewer labels, one point for each share.
        only_fold: the only tested fold of the task; None if all folds were tested.
    """

    evaluation: str
    groups: int
    tiles: int
    tiles_unthinned: int
    test_groups: int
    folds: int
    scores: list[Score]
    predictions: dict[Key, Floats]
    unrounded: dict[Key, Floats]
    fold: NDArray[np.int64]
    buffer: bool
    random: bool
    labels: LabelCount
    curve: list[CurvePoint]
    only_fold: int | None = None

    def describe(self) -> str:
        """Returns one line of text: how heads were tested, number of tested tiles, and number of their groups."""
        if self.random:
            return f"{RANDOM_SPLIT}; {self._describe_evaluation()}"
        return self._describe_evaluation() + (
            "; groups next to test groups are not used for training" if self.buffer else ""
        )

    def _describe_evaluation(self) -> str:
        on = f"{counted(self.tiles, 'tile')} in {counted(self.groups, 'zoom-14 group')}"
        if self.evaluation == "test split":
            return f"test split: {on}"
        if self.evaluation == "task folds":
            if self.only_fold is not None:
                return f"fold {self.only_fold} of the task: {on}{few_tested(self.groups)}"
            of = "tiles" if self.random else "groups"
            return f"{self.folds}-fold cross-validation over {of} (folds of the task): {on}"
        few = f"the test split has {counted(self.test_groups, 'group')}, fewer than {FEW_TEST_GROUPS}"
        return f"{self.folds}-fold cross-validation over groups ({few}): {on}"


def run_probe(
    data: ProbeData,
    vectors: Vectors,
    heads: Sequence[str],
    seed: int = 0,
    progress: Progress = lambda done, total: None,
    seeds: int = 1,
    shares: Sequence[float] = (),
    threads: int = 1,
    only_fold: int | None = None,
    supervised: Mapping[str, Supervised] | None = None,
) -> ProbeResult:
    """Fits every prediction head to the tile vectors of every model, and tests the fitted heads.

    If the task has an absent value (such as −100 for tiles without a road), each head also predicts in two parts.

    Args:
        data: labels and splits of the n tiles of the task.
        vectors: vectors of these tiles by name of the model, float32 [n, d].
        heads: names of the heads to fit, from `HEADS`.
        seed: seed of the cross-validation folds, and first seed of the heads and of the bootstrap.
        progress: function called after each fit with the number of finished fits and the total number of fits.
        seeds: number of consecutive seeds for heads that depend on a seed, for draws of labels, and for the bootstrap.
        shares: shares of the labels, above 0 and below 1, for a learning curve.
        threads: number of heads to fit at the same time. Does not affect the result.
        only_fold: number of the only fold of the task to test. None: all folds.
        supervised: function that trains and tests each model that is trained on labels, by name of the model.

    Raises:
        DataError: there are too few labelled tiles or groups, or there is no such fold.
    """
    folds, whole = make_folds(data, seed, only_fold), [1.0, *shares]
    tested = _tested(folds, len(data.labels))
    kept = (tested >= 0) & data.kept
    runs = [[[with_share(fold, data, share, seed + run) for fold in folds] for run in range(seeds)] for share in whole]
    found = fit_heads(data, vectors, heads, runs, seed, threads, progress, supervised or {})
    points = [
        CurvePoint(
            count_labels([fold for parts in folds_of_seed for fold in parts], data, share),
            _scores(data, predicted, found[0][DUMMY, DUMMY_HEAD], tested >= 0, seed, seeds),
        )
        for share, folds_of_seed, predicted in zip(whole, runs, found, strict=True)
    ]
    return ProbeResult(
        evaluation=_evaluation(data, folds),
        groups=len(np.unique(data.groups[kept])),
        tiles=int(kept.sum()),
        tiles_unthinned=int((tested >= 0).sum()),
        test_groups=data.test_groups,
        folds=len(folds),
        scores=points[0].scores,
        predictions={key: one.labels for key, one in found[0].items()},
        unrounded={key: one.ordered for key, one in found[0].items() if data.binary},
        fold=tested,
        buffer=data.buffer,
        random=data.random,
        labels=points[0].labels,
        curve=points[1:],
        only_fold=only_fold,
    )


def _scores(
    data: ProbeData, predicted: Mapping[Key, Predicted], dummy: Predicted, tested: NDArray[np.bool_], *seeds: int
) -> list[Score]:
    """Returns the score of each head, divided by that of Dummy with all labels."""
    error = float(np.abs(dummy.labels - data.labels)[0, tested & data.kept].mean())
    return [score(key, one, data, tested, error, *seeds) for key, one in predicted.items()]


def _tested(folds: Sequence[Fold], tiles: int) -> NDArray[np.int64]:
    """Returns the fold in which each tile is tested, -1 for tiles that are not tested. int64 [tiles]"""
    tested = np.full(tiles, -1, np.int64)
    for fold in folds:
        tested[fold.test] = fold.number
    return tested


def _evaluation(data: ProbeData, folds: Sequence[Fold]) -> str:
    if data.task_fold is not None:
        return "task folds"
    return "test split" if len(folds) == 1 else "cross-validation"
