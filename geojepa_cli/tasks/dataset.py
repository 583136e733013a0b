"""Reads tasks: labels, splits, and the entities and tags that models must not read because they reveal the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geojepa_cli import hints
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.store.label_file import read_labels
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View
from geojepa_cli.store.view_file import load_views
from geojepa_cli.tasks.leakage import without_shared
from geojepa_cli.tasks.rules import Flags
from geojepa_cli.tasks.spec import TaskSpec, load_task
from geojepa_cli.tasks.splits import SPLITS, Groups, PartNumbers, SplitRule
from geojepa_cli.workspace.artifact import Artifact

LABELS, VIEWS, SPEC = "labels.h5", "views.h5", "task.yaml"


@dataclass(frozen=True)
class TaskData:
    """A task that was built for a dataset of n tiles. Each array has one entry per tile, in the order of the dataset.

    Attributes:
        spec: definition of the task.
        labels: label of each tile, float32 [n]; NaN for a tile without a label.
        eligible: True for tiles that have a label and were not excluded by an option of `build-tasks` such as
            `--min-entities`, bool [n].
        kept: True for eligible tiles that were not removed by thinning, bool [n]. Thinning removes tiles with label 0,
            to reduce their number. Heads are trained and tested on the kept tiles.
        split: split of each tile, uint8 [n]: 0 train, 1 val, 2 test, 3 buffer (not used, because next to test groups).
        groups: zoom-14 tile that contains each tile, as a number, int64 [n]; see `TileStore.groups`.
        rule: rule that assigned tiles to splits.
        fold: fold of each tile, uint8 [n], 0..k-1; None if the task was built without folds.
    """

    spec: TaskSpec
    labels: NDArray[np.float32]
    eligible: Flags
    kept: Flags
    split: PartNumbers
    groups: Groups
    rule: SplitRule
    fold: PartNumbers | None
    _views: tuple[View, View]

    @classmethod
    def open(cls, store: TileStore, artifacts: Sequence[Artifact]) -> TaskData:
        """Reads the task artifacts of all regions of a dataset and joins them.

        Args:
            store: dataset of the regions.
            artifacts: one task artifact for each region, in the order of the dataset.

        Raises:
            DataError: a file is damaged, the artifacts have different definitions of the task, or an artifact was built
                for other data than the dataset.
        """
        if len(artifacts) != len(store.regions):
            raise ValueError(f"{len(artifacts)} task artifacts for {len(store.regions)} regions")
        specs = [read_spec(artifact) for artifact in artifacts]
        rule = split_rule(artifacts[0])
        hint = hints.run("build-tasks", region=[region.name for region in store.regions], task=specs[0].name)
        for artifact, spec in zip(artifacts, specs, strict=True):
            if spec != specs[0] or split_rule(artifact) != rule:
                what = f"`{artifact.path}` and `{artifacts[0].path}`"
                raise DataError(f"{what} cannot be combined: they differ in the task's definition, seed or split", hint)
        columns = [
            read_labels(artifact.verified_file(LABELS), region.n_tiles, rule.folds or 0, hint)
            for artifact, region in zip(artifacts, store.regions, strict=True)
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
            _views=load_views([artifact.verified_file(VIEWS) for artifact in artifacts], store),
        )

    def view(self, masked: bool) -> View:
        """Selects the tiles of the task (attribute `eligible`), and the entities and tags that a model sees in them.

        Args:
            masked: True to leave out the tags and entities that the mask of the task hides.
        """
        return self._views[int(masked)]

    def rows(self, split: str, thinned: bool = True) -> NDArray[np.int64]:
        """Returns the indexes of a split's tiles in the dataset.

        Args:
            split: `train`, `val` or `test`.
            thinned: False to include tiles with label 0 that were removed to reduce their number (thinning).
        """
        return np.flatnonzero((self.kept if thinned else self.eligible) & (self.split == SPLITS.index(split)))

    def view_without_shared(self, store: TileStore, masked: bool) -> View:
        """Selects the same as `view`, but also hides the OSM elements that can be in both training and test tiles.

        These are the elements that lie in several zoom-14 tiles or, for a random split, in several tiles.

        Args:
            store: dataset of this task's regions.
            masked: True to also hide the tags and entities that reveal the label.
        """
        blocks = self.groups
        if self.rule.by == "random":  # two regions may have the same tile
            blocks = np.unique(store.tile_zxy, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
        return without_shared(store, self.view(masked), blocks)


def read_spec(artifact: Artifact) -> TaskSpec:
    """Reads the definition of a task from its artifact.

    Raises:
        DataError: the file with the definition is damaged.
    """
    try:
        return load_task(artifact.verified_file(SPEC))
    except UsageError as error:  # geojepa wrote this file: a fault in it is damaged data, not a wrong command
        raise artifact.broken(error.message) from error


def split_rule(artifact: Artifact) -> SplitRule:
    """Returns the rule by which a task's tiles were assigned to splits, from the manifest of the task.

    Raises:
        DataError: the manifest has no valid seed or split.
    """
    try:
        values: dict[str, Any] = {"seed": artifact.params["seed"], **artifact.params.get("split", {})}
        return SplitRule(**values)
    except (KeyError, TypeError, UsageError) as error:
        raise artifact.broken(f"`{artifact.path / 'manifest.json'}` has no valid seed and split: {error}") from error
