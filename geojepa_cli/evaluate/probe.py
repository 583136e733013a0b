"""How much frozen tile vectors tell about a task: heads beside Dummy, errors with intervals over zoom-14 groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.errors import DataError
from geojepa_cli.evaluate.heads import Fold, predict_dummy, predict_head
from geojepa_cli.metrics.bootstrap import Interval, bootstrap_mean
from geojepa_cli.metrics.folds import group_folds
from geojepa_cli.metrics.metrics import auroc
from geojepa_cli.tasks.splits import RANDOM_SPLIT, next_to

Floats = NDArray[np.float64]
Progress = Callable[[int, int], None]

MIN_TEST_GROUPS = 20
FOLDS = 5
MIN_TILES = 20
DUMMY = "dummy"


@dataclass(frozen=True)
class ProbeData:
    """The eligible tiles of a task: n rows.

    Attributes:
        labels: float64 [n].
        kept: bool [n], not thinned out.
        split: uint8 [n], 0 train, 1 val, 2 test, 3 buffer.
        groups: int64 [n].
        clamp: fixed ends of the label range; None is the training labels' end.
        binary: whether labels are 0 or 1.
        task_fold: uint8 [n], the folds that the task was built with; None where it was built without.
        buffer: groups next to tested ones are neither fitted nor chosen on.
        random: tiles were dealt one by one, so that neighbours stand on both sides.
    """

    labels: Floats
    kept: NDArray[np.bool_]
    split: NDArray[np.uint8]
    groups: NDArray[np.int64]
    clamp: tuple[float | None, float | None] = (None, None)
    binary: bool = False
    task_fold: NDArray[np.uint8] | None = None
    buffer: bool = False
    random: bool = False

    @property
    def test_groups(self) -> int:
        """Groups of the test split that have a kept tile."""
        return len(np.unique(self.groups[self.kept & (self.split == 2)]))


@dataclass(frozen=True)
class Figure:
    """One head of one model.

    Attributes:
        model, head: whose; Dummy has the head `median`.
        mae: on the kept test tiles, its interval over groups.
        mae_unthinned: with the label-0 tiles that thinning leaves out.
        relative: MAE / Dummy's MAE; None where Dummy does not err.
        auroc: for tasks with labels 0 and 1.
    """

    model: str
    head: str
    mae: Interval
    mae_unthinned: float
    relative: float | None
    auroc: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain values, rounded to what they can mean."""
        values = asdict(self)
        values["mae"] = {key: _rounded(value) for key, value in values["mae"].items()}
        return {key: _rounded(value) for key, value in values.items()}


@dataclass(frozen=True)
class ProbeResult:
    """What came out.

    Attributes:
        protocol: `test split`, `cross-validation`, or `task folds`.
        groups, tiles, tiles_unthinned: that the figures stand on.
        test_groups: of the task's own split; below 20 it is cross-validated.
        folds: 1 for the test split.
        figures: Dummy first.
        predictions: by (model, head), float64 [n]; NaN where a row was not tested.
        fold: int64 [n], in which fold a row was tested; -1 for none.
        buffer, random: as in `ProbeData`.
    """

    protocol: str
    groups: int
    tiles: int
    tiles_unthinned: int
    test_groups: int
    folds: int
    figures: list[Figure]
    predictions: dict[tuple[str, str], Floats]
    fold: NDArray[np.int64]
    buffer: bool = False
    random: bool = False

    def describe(self) -> str:
        """One line on what the figures stand on."""
        if self.random:
            return f"{RANDOM_SPLIT}; {self._stands_on()}"
        return self._stands_on() + ("; groups next to tested ones left out of training" if self.buffer else "")

    def _stands_on(self) -> str:
        on = f"{self.tiles:,} tiles in {self.groups} zoom-14 groups"
        if self.protocol == "test split":
            return f"on the test split: {on}"
        if self.protocol == "task folds":
            of = "tiles" if self.random else "groups"
            return f"{self.folds}-fold cross-validation over {of} (the task's folds): {on}"
        groups = f"{self.test_groups} group{'' if self.test_groups == 1 else 's'}"
        few = f"the test split has {groups}, fewer than {MIN_TEST_GROUPS}"
        return f"{self.folds}-fold cross-validation over groups ({few}): {on}"


def run_probe(
    data: ProbeData,
    vectors: Mapping[str, NDArray[np.float32]],
    heads: Sequence[str],
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> ProbeResult:
    """Fits and tests every head on every model's vectors.

    Args:
        data: the task.
        vectors: by model, [n, 2D], rows as in `data`.
        heads: of `linear` and `mlp`.
        seed: of folds, MLP and bootstrap.
        progress: told (done, total) fits.

    Raises:
        DataError: too few labelled tiles or groups to say anything.
    """
    folds = make_folds(data, seed)
    tested = np.full(len(data.labels), -1, np.int64)
    keys = [(DUMMY, "median"), *((model, head) for model in vectors for head in heads)]
    predictions = {key: np.full(len(data.labels), np.nan) for key in keys}
    for number, fold in enumerate(folds):
        tested[fold.test] = number
        predictions[keys[0]][fold.test] = predict_dummy(data.labels, fold)
        clamp = label_range(data, fold)
        for place, (model, head) in enumerate(keys[1:]):
            predicted = predict_head(head, vectors[model], data.labels, data.groups, fold, clamp, seed)
            predictions[model, head][fold.test] = predicted
            progress(number * (len(keys) - 1) + place + 1, len(folds) * (len(keys) - 1))
    whole = tested >= 0
    counted = whole & data.kept
    dummy = float(np.abs(predictions[keys[0]] - data.labels)[counted].mean())
    figures = [_figure(data, key, predictions[key], counted, whole, dummy, seed) for key in keys]
    groups = len(np.unique(data.groups[counted]))
    protocol = "test split" if len(folds) == 1 else "cross-validation" if data.task_fold is None else "task folds"
    sizes = int(counted.sum()), int(whole.sum())
    made = ProbeResult(protocol, groups, *sizes, data.test_groups, len(folds), figures, predictions, tested)
    return replace(made, buffer=data.buffer, random=data.random)


def make_folds(data: ProbeData, seed: int = 0) -> list[Fold]:
    """The task's own folds, or its split where that has 20 test groups (or is random), else 5 folds over all groups.

    Only kept tiles are fitted; all eligible tiles of the test groups are tested, so that the unthinned figure comes
    from the same heads.
    """
    if data.task_fold is not None:
        return _folds(data, data.task_fold.astype(np.int64))
    split = [np.flatnonzero(data.kept & (data.split == part)) for part in range(2)]
    if data.test_groups >= (1 if data.random else MIN_TEST_GROUPS) and len(split[0]) >= MIN_TILES:
        return [Fold(split[0], split[1], np.flatnonzero(data.split == 2))]
    return cross_validation_folds(data, FOLDS, seed)


def cross_validation_folds(data: ProbeData, k: int, seed: int = 0) -> list[Fold]:
    """Every group is tested once; the next fold's groups are the validation set.

    Raises:
        DataError: fewer than 20 kept tiles, or fewer than three groups.
    """
    groups = len(np.unique(data.groups[data.kept]))
    if int(data.kept.sum()) < MIN_TILES or groups < 3:
        message = f"{int(data.kept.sum())} labelled tiles in {groups} zoom-14 groups are too few to probe"
        raise DataError(
            message, "add a region: geojepa build-tasks --region A, then geojepa probe --region A --region B"
        )
    return _folds(data, _deal(data, k, seed))


def _folds(data: ProbeData, fold: NDArray[np.int64]) -> list[Fold]:
    """Every fold is tested once; with a buffer, what lies next to it is neither fitted nor chosen on.

    Raises:
        DataError: the buffer leaves nothing to fit.
    """
    count = int(fold.max()) + 1
    made = []
    for number in range(count):
        tested = fold == number
        allowed = data.kept & ~tested
        if data.buffer:
            allowed &= ~next_to(data.groups, np.unique(data.groups[tested]))
        val = allowed & (fold == (number + 1) % count)
        train = allowed & ~val
        if not train.any():
            train, val = val, train
        if not train.any():
            message = f"the buffer leaves nothing to train on where fold {number} of {count} is tested"
            raise DataError(message, "add a region, or geojepa build-tasks --folds with more, or without --buffer")
        made.append(Fold(np.flatnonzero(train), np.flatnonzero(val), np.flatnonzero(tested)))
    return made


def _deal(data: ProbeData, k: int, seed: int) -> NDArray[np.int64]:
    """The fold of every row: groups with kept tiles are balanced by these; the others' tiles are only tested."""
    fold = np.full(len(data.labels), -1, np.int64)
    fold[data.kept] = group_folds(data.groups[data.kept], k, seed)
    names, first = np.unique(data.groups[data.kept], return_index=True)
    of_group = dict(zip(names.tolist(), fold[data.kept][first].tolist(), strict=True))
    count = int(fold.max()) + 1
    for group in np.unique(data.groups[~data.kept]).tolist():
        of_group.setdefault(group, group % count)
    return np.array([of_group[group] for group in data.groups.tolist()], np.int64)


def label_range(data: ProbeData, fold: Fold) -> tuple[float, float]:
    """What predictions are clamped to."""
    labels = data.labels[fold.train]
    low, high = data.clamp
    return float(labels.min()) if low is None else low, float(labels.max()) if high is None else high


def _figure(
    data: ProbeData,
    key: tuple[str, str],
    predicted: Floats,
    counted: NDArray[np.bool_],
    whole: NDArray[np.bool_],
    dummy: float,
    seed: int,
) -> Figure:
    errors = np.abs(predicted - data.labels)
    interval = bootstrap_mean(errors[counted], data.groups[counted], seed=seed)
    positive = data.labels[counted] > 0.5
    both = data.binary and bool(positive.any()) and not bool(positive.all())
    score = auroc(predicted[counted], positive) if both else None
    relative = interval.value / dummy if dummy > 0 else None
    return Figure(*key, interval, float(errors[whole].mean()), relative, score)


def _rounded(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value
