"""Reads the probes of a report: their scores, and their predictions for single tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from geojepa_cli import console, hints
from geojepa_cli.errors import DataError
from geojepa_cli.stages.probes import PREDICTIONS_FILE, PROBES
from geojepa_cli.stages.probes import REPORT_FILE as PROBE_REPORT
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.kinds import Remains, name_of, rebuild_hint
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.evaluate.comparison import TaskErrors
    from geojepa_cli.evaluate.predictions import Predictions


class ReadProbe(NamedTuple):
    """A probe of a report.

    Attributes:
        artifact: `probes/` artifact.
        content: content of its `report.json`.
        errors: prediction errors for its test tiles.
    """

    artifact: Artifact
    content: dict[str, Any]
    errors: TaskErrors

    def predictions(self) -> Predictions:
        """Reads the predictions for single tiles.

        Raises:
            DataError: the file is damaged. The hint is the command that rebuilds the probe.
        """
        return _read_predictions(self.artifact, self.content)


def read_probes(workspace: Workspace) -> list[ReadProbe]:
    """Reads all probes of a workspace, oldest first. Skips damaged probes with a warning.

    Raises:
        DataError: the workspace contains no probe, or all probes are damaged.
    """
    for ref, reason in workspace.damaged(PROBES.kind).items():
        console.warn(
            f"damaged probe left out of the report: {reason}", rebuild_hint(PROBES.kind, Remains(name_of(ref)))
        )
    found: list[ReadProbe] = []
    last: DataError | None = None
    for probe in workspace.artifacts(PROBES.kind):
        try:
            found.append(ReadProbe(probe, *read_probe(probe)))
        except DataError as error:
            console.warn(f"damaged probe left out of the report: {error.message}", error.hint)
            last = error
    if found:
        return found
    if last is not None:
        raise last
    raise DataError(f"there are no probes in `{workspace.root}`", hints.run("probe", task="max_speed"))


def read_probe(probe: Artifact) -> tuple[dict[str, Any], TaskErrors]:
    """Returns the content of a probe's `report.json`, and the prediction errors for its test tiles.

    Raises:
        DataError: the probe is damaged. The hint is the command that rebuilds it.
    """
    from geojepa_cli.evaluate.comparison import task_errors
    from geojepa_cli.evaluate.report_input import check_probe

    content = probe.read_json(PROBE_REPORT)
    if wrong := check_probe(content):
        raise probe.broken(f"`{probe.path / PROBE_REPORT}` is not the report of a probe: {wrong}")
    return content, task_errors(_read_predictions(probe, content))


def _read_predictions(probe: Artifact, content: dict[str, Any]) -> Predictions:
    from geojepa_cli.evaluate.predictions import read_predictions

    path = probe.verified_file(PREDICTIONS_FILE)
    try:
        return read_predictions(path, [(score["model"], score["head"], score["seeds"]) for score in content["scores"]])
    except (ValueError, OSError) as error:
        raise probe.broken(f"`{path}` cannot be read: {error}") from error
