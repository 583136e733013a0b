"""Labels, splits and views of a task over the regions of a `TileStore`, in the store's rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.store import label_file
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View
from geojepa_cli.store.view_file import load_views
from geojepa_cli.tasks.leakage import sides_of_split, without_shared
from geojepa_cli.tasks.rules import Flags
from geojepa_cli.tasks.spec import TaskSpec, load_task
from geojepa_cli.tasks.splits import SPLITS, Groups, SplitRule, Splits
from geojepa_cli.workspace.artifact import Artifact

LABELS, VIEWS, SPEC = "labels.h5", "views.h5", "task.yaml"


@dataclass(frozen=True)
class TaskData:
    """A task over a dataset of n tiles; every array has one entry per tile of the store.

    Attributes:
        spec: the task.
        labels: float32 [n]; NaN where a tile has none.
        eligible: bool [n], has a label and a number of entities within limits; the tiles of both views.
        kept: bool [n], eligible and not thinned out: what heads are trained and tested on.
        split: uint8 [n], 0 train, 1 val, 2 test, 3 buffer.
        groups: int64 [n], zoom-14 group as in `TileStore.groups`.
        rule: how tiles were dealt.
        fold: uint8 [n], 0..k-1; None where the task was built without folds.
    """

    spec: TaskSpec
    labels: NDArray[np.float32]
    eligible: Flags
    kept: Flags
    split: Splits
    groups: Groups
    rule: SplitRule
    fold: Splits | None
    _views: tuple[View, View]

    @classmethod
    def open(cls, store: TileStore, artifacts: Sequence[Artifact]) -> TaskData:
        """Joins the `tasks/` artifacts of the store's regions, given in the store's order.

        Raises:
            DataError: they are of different definitions of a task, or made for other data.
        """
        if len(artifacts) != len(store.regions):
            raise ValueError(f"{len(artifacts)} task artifacts for {len(store.regions)} regions")
        specs = [load_task(artifact.file(SPEC)) for artifact in artifacts]
        hint = hints.run("build-tasks", region=[region.name for region in store.regions], task=specs[0].name)
        for artifact, spec in zip(artifacts, specs, strict=True):
            if spec != specs[0] or split_rule(artifact) != split_rule(artifacts[0]):
                what = f"`{artifact.path}` and `{artifacts[0].path}`"
                raise DataError(f"{what} differ in the task's definition, seed or split", hint=hint)
        rule = split_rule(artifacts[0])
        columns = [
            label_file.read_labels(a.file(LABELS), region.n_tiles, rule.folds or 0, hint)
            for a, region in zip(artifacts, store.regions, strict=True)
        ]
        joined = {name: np.concatenate([column[name] for column in columns]) for name in columns[0]}
        return cls(
            spec=specs[0],
            labels=joined["label"],
            eligible=joined["eligible"].astype(np.bool_),
            kept=joined["kept"].astype(np.bool_),
            split=joined["split"],
            groups=store.groups,
            rule=rule,
            fold=joined.get("fold"),
            _views=load_views([artifact.file(VIEWS) for artifact in artifacts], store),
        )

    def view(self, masked: bool) -> View:
        """The plain or the masked variant; both show the same tiles, those that are `eligible`."""
        return self._views[int(masked)]

    def rows(self, split: str, thinned: bool = True) -> NDArray[np.int64]:
        """Tile rows of `train`, `val` or `test`; `thinned=False` with the label-0 tiles that thinning leaves out."""
        return np.flatnonzero((self.kept if thinned else self.eligible) & (self.split == SPLITS.index(split)))

    def unshared_view(self, store: TileStore, masked: bool) -> View:
        """`view` without the entities of kept test tiles that kept train or validation tiles show too."""
        (sides,) = sides_of_split(self.split, self.kept)
        return without_shared(store, self.view(masked), np.flatnonzero(sides.seen), np.flatnonzero(sides.tested))

    def label_range(self, rows: NDArray[np.int64]) -> tuple[float, float]:
        """The range that predictions are clamped to: the spec's, where open the one of the labels of `rows`."""
        low, high = self.spec.label.clamp
        labels = self.labels[rows]
        return (float(labels.min()) if low is None else low), (float(labels.max()) if high is None else high)


def split_rule(artifact: Artifact) -> SplitRule:
    """How a task's tiles were dealt, from its manifest."""
    return SplitRule(**{"seed": artifact.params["seed"], **artifact.params.get("split", {})})


def write_labels(path: Path, task: str, rule: SplitRule, **columns: NDArray[np.generic]) -> None:
    """Writes `labels.h5`: one row per tile of `processed.h5`; see docs/formats.md."""
    attributes: dict[str, Any] = {
        "task": task,
        "seed": np.int64(rule.seed),
        "split": rule.by,
        "buffer": np.uint8(rule.buffer),
    }
    label_file.write_labels(path, attributes, columns)
