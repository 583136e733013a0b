"""Leakage in a report: the share of entities that training and test tiles of a probe have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from geojepa_cli.errors import NotFoundError
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.stage import rebuilding
from geojepa_cli.stages.tasks import REPORT_FILE as TASK_REPORT
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace, inputs_of_kind

if TYPE_CHECKING:
    from geojepa_cli.evaluate.predictions import Predictions
    from geojepa_cli.stages.report_probes import ReadProbe
    from geojepa_cli.tasks.leakage import Sides
    from geojepa_cli.tasks.splits import Groups
    from geojepa_cli.tasks.tokens import RegionTokens

_Counts = Mapping[str, Any]


class ReportLeakage:
    """Leakage of the probes in a report.

    An entity here is the part of an OSM element in one tile. It counts as shared if a training or validation tile has
    another part of the element. Entities that the mask of a task hides count too.

    Args:
        workspace: workspace with the tasks and the regions.
        probes: probes of the report.
    """

    def __init__(self, workspace: Workspace, probes: Sequence[ReadProbe]) -> None:
        self._probes = probes
        self._found: dict[str, Artifact] = {}
        for probe in probes:
            kind = "processed" if _is_cross_validation(probe) else "tasks"
            for ref in inputs_of_kind(probe.artifact, kind):
                try:
                    self._found.setdefault(ref, workspace.at(ref))
                except NotFoundError:
                    continue  # the share is unknown
        self._opened: dict[str, tuple[RegionTokens, Groups]] = {}
        self._measured: dict[str, _Counts] = {}

    @property
    def inputs(self) -> list[Artifact]:
        """Artifacts from which the leakage is read: tasks or, for cross-validation without folds, regions."""
        return list(self._found.values())

    def shares(self) -> list[float | None]:
        """Returns for each probe the share of entities in test tiles that are shared. None if it is unknown.

        - For the test split or the folds of a task, it is the share that `build-tasks` measured; for a single tested
          fold, that of all folds.
        - For cross-validation without folds, it is measured here, on the folds of the probe.
        """
        return [self._share(probe) for probe in self._probes]

    def _share(self, probe: ReadProbe) -> float | None:
        counts = self._cross_validation(probe) if _is_cross_validation(probe) else self._of_tasks(probe)
        tested = sum(one["test_tokens"] for one in counts or ())
        return round(sum(one["shared_tokens"] for one in counts or ()) / tested, 4) if tested else None

    def _of_tasks(self, probe: ReadProbe) -> list[_Counts] | None:
        found = []
        for ref in inputs_of_kind(probe.artifact, "tasks"):
            if ref not in self._found:
                return None
            task = self._found[ref]
            leakage = task.read_json(TASK_REPORT).get("leakage", {})
            if leakage.get("used") not in leakage.get("splits", {}):
                raise task.broken(f"`{task.path / TASK_REPORT}` has no leakage of the split that is used")
            found.append(leakage["splits"][leakage["used"]])
        return found

    def _cross_validation(self, probe: ReadProbe) -> list[_Counts] | None:
        from geojepa_cli.tasks.leakage import leakage

        regions = inputs_of_kind(probe.artifact, "processed")
        if any(ref not in self._found for ref in regions):
            return None
        predictions, counts = None, []
        for ref in regions:
            key = f"{probe.errors.tiles} {ref}"  # probes of several models have the same tiles and folds
            if key not in self._measured:
                predictions = predictions or probe.predictions()
                tokens, groups = self._open(ref)
                buffer = bool(probe.content.get("buffer"))
                self._measured[key] = leakage(tokens, _sides(tokens, groups, predictions, buffer))
            counts.append(self._measured[key])
        return counts

    def _open(self, ref: str) -> tuple[RegionTokens, Groups]:
        """Returns the tokens of a region, and the zoom-14 group of each of its tiles."""
        from geojepa_cli.store.store import TileStore
        from geojepa_cli.tasks.tokens import RegionTokens

        if ref not in self._opened:
            region = self._found[ref]
            with rebuilding(region):
                store = TileStore.open([region.file(PROCESSED_FILE)], names=[region.name])
                self._opened[ref] = RegionTokens(store.regions[0]), store.groups
        return self._opened[ref]


def _is_cross_validation(probe: ReadProbe) -> bool:
    return bool(probe.content["evaluation"] == "cross-validation")


def _sides(tokens: RegionTokens, groups: Groups, predictions: Predictions, buffer: bool) -> list[Sides]:
    """Returns the training and test tiles of each fold in one region."""
    import numpy as np

    from geojepa_cli.grid import parse_tile
    from geojepa_cli.tasks.leakage import sides_of_folds

    store = tokens.region
    places = {zxy: row for row, zxy in enumerate(zip(*(store[f"tile/{axis}"].tolist() for axis in "zxy"), strict=True))}
    fold, kept = np.zeros(store.n_tiles, np.uint8), np.zeros(store.n_tiles, np.bool_)
    tested = predictions.tested[predictions.kept]
    for name, _, number in tested[tested[:, 1] == store.name][:, :3].tolist():
        row = places[tuple(parse_tile(name))]
        fold[row], kept[row] = int(number), True
    return sides_of_folds(fold, kept, groups, buffer)
