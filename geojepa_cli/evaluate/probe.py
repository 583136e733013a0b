"""Probe: tests how well prediction heads on tile vectors predict the labels of a task, compared with a baseline.

The baseline, named Dummy, predicts the median of the training labels for every tile.

Mean absolute errors (MAE) have confidence intervals from a bootstrap, which resamples groups. A group is the set of
all tiles in the same zoom-14 tile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.console import counted
from geojepa_cli.evaluate.folds import Floats, Fold, ProbeData, make_folds
from geojepa_cli.evaluate.heads import predict_dummy, predict_head
from geojepa_cli.evaluate.predictions import DUMMY, DUMMY_HEAD
from geojepa_cli.metrics.bootstrap import Interval, bootstrap_mean
from geojepa_cli.metrics.metrics import auroc
from geojepa_cli.tasks.labels import label_range
from geojepa_cli.tasks.splits import FEW_TEST_GROUPS, RANDOM_SPLIT

Progress = Callable[[int, int], None]
Supervised = Callable[[Fold, tuple[float, float], int], Floats]
SUPERVISED_HEAD = "supervised"  # name of the head of a model that is trained on labels, end to end


@dataclass(frozen=True)
class Score:
    """Errors of one prediction head on the tile vectors of one model.

    Attributes:
        model, head: names of the model and the head. The baseline Dummy, which predicts the median, has the head
            `median`.
        mae: mean absolute error (MAE) and its confidence interval, without tiles with label 0 that were removed to
            reduce their number (thinning).
        mae_unthinned: MAE on all test tiles, including those that were removed by thinning.
        relative: `mae` divided by the MAE of Dummy; None if the MAE of Dummy is 0.
        auroc: area under the ROC curve, on the same tiles as `mae`; None if the task has labels other than 0 and 1,
            or if all labels are equal.
    """

    model: str
    head: str
    mae: Interval
    mae_unthinned: float
    relative: float | None
    auroc: float | None

    def to_json(self) -> dict[str, Any]:
        """Returns the score as a dict for JSON, with numbers rounded to six digits."""
        values = asdict(self)
        values["mae"] = {key: _rounded(value) for key, value in values["mae"].items()}
        return {key: _rounded(value) for key, value in values.items()}


@dataclass(frozen=True)
class ProbeResult:
    """Scores and predictions of a probe.

    Attributes:
        protocol: `test split`: the task's test split is tested. `task folds`: the folds of the task are tested.
            `cross-validation`: new folds are made and tested.
        groups: number of tested groups (zoom-14 tiles).
        tiles: number of tested tiles, without tiles with label 0 that were removed to reduce their number (thinning).
        tiles_unthinned: number of tested tiles, including those that were removed by thinning.
        test_groups: number of groups (zoom-14 tiles) in the task's test split. A task without folds is tested by
            `cross-validation` if this number is below 20 (for a random split: if it is 0), or if the task has fewer
            than 20 training tiles.
        folds: number of folds; 1 for the protocol `test split`.
        scores: one score for each model and head; the score of Dummy is the first.
        predictions: predictions of each head, float64 [n], by (model, head); NaN for tiles that were not tested.
        fold: fold in which each tile was tested, int64 [n]; -1 for tiles that were not tested.
        buffer: True if groups next to tested groups were used neither for training nor for validation.
        random: True if each tile was assigned to a split separately.
    """

    protocol: str
    groups: int
    tiles: int
    tiles_unthinned: int
    test_groups: int
    folds: int
    scores: list[Score]
    predictions: dict[tuple[str, str], Floats]
    fold: NDArray[np.int64]
    buffer: bool = False
    random: bool = False

    def describe(self) -> str:
        """Returns one line of text: test protocol, number of tested tiles, and number of zoom-14 tiles with these."""
        if self.random:
            return f"{RANDOM_SPLIT}; {self._describe_protocol()}"
        return self._describe_protocol() + (
            "; groups next to test groups are not used for training" if self.buffer else ""
        )

    def _describe_protocol(self) -> str:
        on = f"{counted(self.tiles, 'tile')} in {counted(self.groups, 'zoom-14 group')}"
        if self.protocol == "test split":
            return f"test split: {on}"
        if self.protocol == "task folds":
            of = "tiles" if self.random else "groups"
            return f"{self.folds}-fold cross-validation over {of} (folds of the task): {on}"
        few = f"the test split has {counted(self.test_groups, 'group')}, fewer than {FEW_TEST_GROUPS}"
        return f"{self.folds}-fold cross-validation over groups ({few}): {on}"


def run_probe(
    data: ProbeData,
    vectors: Mapping[str, NDArray[np.float32]],
    heads: Sequence[str],
    seed: int = 0,
    progress: Progress = lambda done, total: None,
    supervised: Mapping[str, Supervised] | None = None,
) -> ProbeResult:
    """Fits every prediction head to the tile vectors of every model, and tests the fitted heads.

    Also trains and tests models that are trained on labels, end to end.

    Args:
        data: labels and splits of the n tiles of the task.
        vectors: vectors of these tiles by name of the model, float32 [n, d].
        heads: heads to fit: `linear`, `mlp` or both.
        seed: seed of the cross-validation folds, the MLP and the bootstrap.
        progress: function called after each fit with the number of finished fits and the total number of fits.
        supervised: for each model that is trained on labels, by name, a function that trains it on a fold, and returns
            its predictions for the test tiles. Its arguments are the fold, the minimum and maximum of predictions, and
            the seed.

    Raises:
        DataError: there are too few labelled tiles or groups.
    """
    folds = make_folds(data, seed)
    tested = np.full(len(data.labels), -1, np.int64)
    trained = supervised or {}
    heads_of = [*((model, head) for model in vectors for head in heads), *((one, SUPERVISED_HEAD) for one in trained)]
    predictions = {key: np.full(len(data.labels), np.nan) for key in [(DUMMY, DUMMY_HEAD), *heads_of]}
    for index, fold in enumerate(folds):
        tested[fold.test] = fold.number
        predictions[DUMMY, DUMMY_HEAD][fold.test] = predict_dummy(data.labels, fold)
        clamp = label_range(data.labels[fold.train], data.clamp)
        for place, (model, head) in enumerate(heads_of, start=1):
            if head == SUPERVISED_HEAD:
                predicted = trained[model](fold, clamp, seed)
            else:
                predicted = predict_head(head, vectors[model], data.labels, data.groups, fold, clamp, seed)
            predictions[model, head][fold.test] = predicted
            progress(index * len(heads_of) + place, len(folds) * len(heads_of))
    counted = (tested >= 0) & data.kept
    return ProbeResult(
        protocol="task folds"
        if data.task_fold is not None
        else "test split"
        if len(folds) == 1
        else "cross-validation",
        groups=len(np.unique(data.groups[counted])),
        tiles=int(counted.sum()),
        tiles_unthinned=int((tested >= 0).sum()),
        test_groups=data.test_groups,
        folds=len(folds),
        scores=_scores(data, predictions, tested, seed),
        predictions=predictions,
        fold=tested,
        buffer=data.buffer,
        random=data.random,
    )


def _scores(
    data: ProbeData, predictions: Mapping[tuple[str, str], Floats], tested: NDArray[np.int64], seed: int
) -> list[Score]:
    whole = tested >= 0
    counted = whole & data.kept
    positive = data.labels[counted] > 0.5
    both = data.binary and bool(positive.any()) and not bool(positive.all())
    dummy = float(np.abs(predictions[DUMMY, DUMMY_HEAD] - data.labels)[counted].mean())
    scores: list[Score] = []
    for key, predicted in predictions.items():
        errors = np.abs(predicted - data.labels)
        interval = bootstrap_mean(errors[counted], data.groups[counted], seed=seed)
        area = auroc(predicted[counted], positive) if both else None
        relative = interval.value / dummy if dummy > 0 else None
        scores.append(Score(*key, interval, float(errors[whole].mean()), relative, area))
    return scores


def _rounded(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value
