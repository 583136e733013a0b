"""Single tiles in a report: predictions of the best models, errors on a map, and pictures of the worst tiles."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from geojepa_cli import console
from geojepa_cli.errors import DataError, NotFoundError
from geojepa_cli.stages.images import FILE as IMAGES_FILE
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.stage import rebuilding
from geojepa_cli.stages.tile_pictures import TilePictures
from geojepa_cli.stages.tiles import FILE as TILES_FILE
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.evaluate.report import ReportTable
    from geojepa_cli.evaluate.report_tiles import RowTiles
    from geojepa_cli.pages.report.page import Picture, TaskPlots
    from geojepa_cli.stages.report_probes import ReadProbe

MAX_ROWS = 4  # scatter plots of a task
MAX_PICTURES = 120  # of the whole page

_Place = tuple[int, str]  # index of a table, and name of a task


class _Pictured(NamedTuple):
    """Pictures of some tiles of one region.

    Attributes:
        ref: reference of the region, `name@id`.
        names: names of the tiles.
        pictures: pictures of these tiles, in the same order.
    """

    ref: str
    names: list[str]
    pictures: TilePictures


class ReportTiles:
    """Tiles of the tasks in a report. For each table and task, the best ranked rows are shown.

    Args:
        workspace: workspace with the regions and their images.
        probes: probes of the report.
        tables: tables of the report.

    Raises:
        DataError: the predictions of a probe, or the images, are damaged.
    """

    def __init__(self, workspace: Workspace, probes: Sequence[ReadProbe], tables: Sequence[ReportTable]) -> None:
        self._workspace, self._tables = workspace, tables
        self._probes = probes
        self._rows = self._read(probes)
        self._pictured = list(self._find_pictures())

    @property
    def inputs(self) -> list[Artifact]:
        """Artifacts from which the pictures are made: images, or tiles that are drawn."""
        return [artifact for one in self._pictured for artifact in one.pictures.artifacts]

    @property
    def credits(self) -> list[str]:
        """Attribution lines of the probes and the pictures."""
        artifacts = [*(probe.artifact for probe in self._probes), *self.inputs]
        return list(dict.fromkeys(line for artifact in artifacts for line in artifact.attribution))

    def to_json(self) -> list[dict[str, Any]]:
        """Returns for each table and task: the shown rows, the classes of the error map, and the worst tiles."""
        return [
            {
                "table": place,
                "task": task,
                "row": plots.rows[0].row,
                "scatter": [
                    {"row": one.row, "tiles": len(one.names), "shown": len(one.sample())} for one in plots.rows
                ],
                "error_map": plots.errors.to_json(),
                "worst": plots.rows[0].worst(),
            }
            for (place, task), plots in self._plots.items()
        ]

    def plots(self) -> list[TaskPlots]:
        """Returns the plots of each table and task, in the order of `to_json`."""
        return list(self._plots.values())

    def pictures(self) -> dict[tuple[str, str], Picture]:
        """Returns the pictures of the worst tiles, by region (`name@id`) and name of the tile.

        Raises:
            DataError: the images, or the tiles to draw, are damaged.
        """
        from geojepa_cli.pages.report.page import Picture

        found: dict[tuple[str, str], Picture] = {}
        for ref, names, pictures in self._pictured:
            shown = zip(names, pictures.read(), pictures.are_drawn, strict=True)
            found |= {(ref, name): Picture(pixels, drawn) for name, pixels, drawn in shown}
        return found

    @cached_property
    def _plots(self) -> dict[_Place, TaskPlots]:
        from geojepa_cli.evaluate.report_tiles import error_map
        from geojepa_cli.pages.report.page import TaskPlots

        return {place: TaskPlots(rows, error_map(rows[0])) for place, rows in self._rows.items()}

    def _read(self, probes: Sequence[ReadProbe]) -> dict[_Place, list[RowTiles]]:
        """Reads the predictions of the shown rows. The file of a probe is read once."""
        from geojepa_cli.evaluate.report_tiles import RowTiles

        chosen = {
            (place, task): _best_rows(table, task) for place, table in enumerate(self._tables) for task in table.tasks
        }
        found: dict[tuple[_Place, str], RowTiles] = {}
        for number, probe in enumerate(probes):
            wanted = [
                (key, row)
                for key, rows in chosen.items()
                for row in rows
                if self._tables[key[0]].cells[key[1]][row].probe == number
            ]
            predictions = probe.predictions() if wanted else None
            for key, row in wanted:
                assert predictions is not None
                found[key, row] = RowTiles.of(row, predictions, self._tables[key[0]].cells[key[1]][row].score)
        read = {key: [found[key, row] for row in rows] for key, rows in chosen.items()}
        return {key: [row for row in rows if len(row.names)] for key, rows in read.items() if len(rows[0].names)}

    def _find_pictures(self) -> list[_Pictured]:
        """Finds the pictures of the worst tiles, until there are `MAX_PICTURES`."""
        wanted: dict[str, list[str]] = {}
        for (place, _), rows in self._rows.items():
            refs = {ref.partition("@")[0]: ref for ref in self._tables[place].regions}
            for tile in rows[0].worst():
                names = wanted.setdefault(refs[tile["region"]], [])
                if tile["tile"] not in names and sum(map(len, wanted.values())) < MAX_PICTURES:
                    names.append(tile["tile"])
        found = []
        for ref, names in sorted((ref, names) for ref, names in wanted.items() if names):
            try:
                found.append(_Pictured(ref, names, self._open(ref, names)))
            except (NotFoundError, DataError) as error:  # the tables can be made without pictures
                console.warn(f"the report has no pictures of `{ref}`: {error.message}", error.hint)
        return found

    def _open(self, ref: str, names: Sequence[str]) -> TilePictures:
        import numpy as np

        from geojepa_cli.grid import parse_tile
        from geojepa_cli.store.store import TileStore

        region = self._workspace.at(f"processed/{ref}")
        with rebuilding(region):
            store = TileStore.open([region.file(PROCESSED_FILE)], names=[region.name])
            places = {zxy: row for row, zxy in enumerate(map(tuple, store.tile_zxy.tolist()))}
        rows = np.array([places[tuple(parse_tile(name))] for name in names], np.int64)
        pictures = TilePictures(self._workspace, [region], store, rows)
        for artifact in pictures.artifacts:
            artifact.file(IMAGES_FILE if artifact.kind == "images" else TILES_FILE)
        return pictures


def _best_rows(table: ReportTable, task: str) -> list[str]:
    """Returns the rows of a task that are shown, best first: ranked ones or, if there are none, others."""
    from geojepa_cli.evaluate.predictions import DUMMY_ROW
    from geojepa_cli.evaluate.ranking import is_ranked

    values = {row: table.comparable_mae(task, row) for row in table.cells[task] if row != DUMMY_ROW}
    order = sorted(values, key=lambda row: (not is_ranked(row), values[row], row))
    ranked = [row for row in order if is_ranked(row)]
    return (ranked or order or [DUMMY_ROW])[:MAX_ROWS]
