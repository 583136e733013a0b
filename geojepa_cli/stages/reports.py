"""Tables of all probes."""

from __future__ import annotations

from typing import Any

from geojepa_cli import console
from geojepa_cli.errors import DataError
from geojepa_cli.workspace.kinds import Remains, rebuild_hint
from geojepa_cli.workspace.workspace import Workspace


def read_probes(workspace: Workspace) -> list[dict[str, Any]]:
    """The `report.json` of every probe, oldest first; damaged ones are left out with a warning that says so.

    Raises:
        DataError: the workspace has no probe, or none of them can be read.
    """
    from geojepa_cli.evaluate.report import check_probe

    for ref, reason in workspace.damaged("probes").items():
        mend = rebuild_hint("probes", Remains(ref.partition("/")[2].partition("@")[0]))
        console.warn(f"left out: {reason}", mend)
    reports: list[dict[str, Any]] = []
    last: DataError | None = None
    for probe in workspace.artifacts("probes"):
        try:
            report = probe.read_json("report.json")
            if wrong := check_probe(report):
                raise probe.broken(f"`{probe.path / 'report.json'}` is no report of a probe: {wrong}")
        except DataError as error:
            console.warn(f"left out: {error.message}", error.hint)
            last = error
        else:
            reports.append(report)
    if reports:
        return reports
    if last is not None:
        raise last
    raise DataError(f"no probes in `{workspace.root}`", "geojepa probe --task max_speed")
