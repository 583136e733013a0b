"""Vectors that a user gives in files (`probe --embeddings`). They are tested like the embeddings of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geojepa_cli import console, hints
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.stages.arguments import wrong_type
from geojepa_cli.stages.embedding_model import TAGPOOL, Model
from geojepa_cli.stages.label_checks import check_zoom
from geojepa_cli.stages.stage import as_list
from geojepa_cli.workspace.durable import file_sha256
from geojepa_cli.workspace.kinds import legal_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geojepa_cli.evaluate.protocols import Protocol
    from geojepa_cli.evaluate.user_vectors import PlacedVectors
    from geojepa_cli.sources.vector_file import VectorTable
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.tasks.dataset import TaskData
    from geojepa_cli.tasks.splits import Groups

VectorFiles = str | Path | Sequence[str | Path] | None
UNMASKED = "{} (not masked)"  # name of vectors in a masked probe
MAX_MISSING = 0.5  # largest share of the tiles of a task without a vector


@dataclass(frozen=True)
class UserVectors:
    """Vectors from one file of a user.

    Attributes:
        name: name of the vectors in tables of scores.
        sha256: SHA-256 checksum of the file.
        table: vectors, each with the tile, point or polygon to which it belongs.
    """

    name: str
    sha256: str
    table: VectorTable

    @property
    def ref(self) -> str:
        """Reference to these vectors: their name, and the start of the checksum of the file."""
        return f"{self.name}@{self.sha256[:12]}"


@dataclass(frozen=True)
class UserRows:
    """Vectors from files of a user, assigned to the tiles of a task.

    Attributes:
        files: vectors from each file.
        placed: for each file, the tiles that have a vector, and the vectors of these tiles.
        left_out: number of tiles of the task that are not used, because a file has no vector for them.
    """

    files: Sequence[UserVectors]
    placed: Sequence[PlacedVectors]
    left_out: int = 0

    @property
    def params(self) -> dict[str, Any]:
        """Parameters of the `probes/` artifact: name, checksum and vector length of each file. Empty without files."""
        found = [
            {"name": one.name, "sha256": one.sha256, "dimension": int(one.table.vectors.shape[1])} for one in self.files
        ]
        return {"embeddings": found} if found else {}

    def vectors(self, rows: NDArray[Any], masked: bool) -> dict[str, NDArray[Any]]:
        """Returns a dict from row name in the table of scores to the vectors of n tiles of the task, float32 [n, d]."""
        found = zip(self.files, self.placed, strict=True)
        return {self._label(one, masked): placed.read(rows) for one, placed in found}

    def rows(self, masked: bool) -> dict[str, str]:
        """Returns a dict from row name in the table of scores to the reference of the vectors in this row."""
        return {self._label(one, masked): one.ref for one in self.files}

    def protocols(self, tested: Groups, regions: Groups) -> dict[str, Protocol]:
        """Returns a dict from the reference of each vector file to the protocol `unknown` (unknown training data)."""
        from geojepa_cli.evaluate.protocols import find_protocol

        return {one.ref: find_protocol(None, tested, regions) for one in self.files}

    def report(self, description: str) -> dict[str, Any]:
        """Returns entries of `report.json`: the vector files, and the number of tiles without a vector.

        Args:
            description: description of the test. The number of tiles without a vector is added to it.
        """
        if not self.files:
            return {}
        found: dict[str, Any] = {**self.params, "tiles_without_vectors": self.left_out}
        if self.left_out:
            tiles = console.counted(self.left_out, "tile")
            found["evaluation_description"] = f"{description}; {tiles} without vectors left out"
        return found

    @staticmethod
    def _label(one: UserVectors, masked: bool) -> str:
        return UNMASKED.format(one.name) if masked else one.name


def model_or_default(model: Any, embeddings: VectorFiles) -> Any:
    """Returns the models to test. If the user gives vectors, but no model, returns the baseline TagPool."""
    return TAGPOOL if model is None and embeddings is not None else model


def name_of_probe(models: Sequence[Model], user: UserRows) -> str:
    """Returns the name of the first model of a probe. If this is TagPool, returns the name of the first vector file."""
    if user.files and models[0].name == TAGPOOL:
        return user.files[0].name
    return legal_name(models[0].name) if models[0].language else models[0].name


def rebuild_options(params: Mapping[str, Any]) -> list[str]:
    """Returns the values of `--embeddings` for the command that rebuilds a probe."""
    listed = params.get("embeddings")
    found = [one.get("name") for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
    return [f"{name}=FILE.parquet" for name in found if isinstance(name, str)]


def read_user_vectors(embeddings: VectorFiles, models: Sequence[Model]) -> list[UserVectors]:
    """Reads the vector files of a user.

    Args:
        embeddings: paths of Parquet files, or texts `NAME=FILE`.
        models: models of the probe. No file may have the name of a model.

    Raises:
        UsageError: a name is used twice, or `embeddings` contains something that is neither text nor a path.
        NotFoundError: there is no such file.
        DataError: a file is damaged, or has no vectors.
    """
    from geojepa_cli.evaluate.predictions import DUMMY
    from geojepa_cli.sources.vector_file import read_vectors

    if embeddings is None:
        return []
    given = as_list(embeddings)
    if not given or not all(isinstance(one, str | Path) and "\0" not in str(one) and str(one) for one in given):
        raise wrong_type("embeddings", embeddings, "the paths of Parquet files", '"vectors.parquet"')
    taken = {DUMMY, *(one.name for one in models)}
    found = []
    for one in given:
        name, path = _split(one)
        if name in taken:
            hint = hints.again(embeddings=f"my-{name}={path}")
            raise UsageError(f"`--embeddings {one}`: the name `{name}` is used twice in this probe", hint)
        taken.add(name)
        table = read_vectors(path)
        found.append(UserVectors(name, file_sha256(path), table))
    return found


def place_user_vectors(
    files: Sequence[UserVectors], store: TileStore, data: TaskData, regions: Sequence[str], masked: bool
) -> tuple[TaskData, UserRows]:
    """Assigns the vectors of a user to tiles. The probe uses only the tiles that have a vector in every file.

    Args:
        files: vectors from each file.
        store: tiles of all regions of the task.
        data: labels of the task.
        regions: names of the regions.
        masked: True if the tags that reveal the label are hidden from the models; only for a warning.

    Returns:
        The labels of the tiles that have a vector in every file, and the vectors of these tiles.

    Raises:
        DataError: a file has no vector for more than half of the tiles, or its tiles have another zoom level.
    """
    import numpy as np

    from geojepa_cli.evaluate.user_vectors import place_vectors

    if not files:
        return data, UserRows((), ())
    tiles = store.tile_zxy.astype(np.int64)
    placed, known = [], np.ones(len(tiles), np.bool_)
    total = int(data.eligible.sum())
    for one in files:
        check_zoom(one.table.path, one.table.places, int(tiles[0, 0]), regions[0])
        placed.append(place_vectors(one.table, tiles))
        have = np.zeros(len(tiles), np.bool_)
        have[placed[-1].tiles] = True
        lacking = int((data.eligible & ~have).sum())
        if lacking > MAX_MISSING * total:
            where = f"`{data.spec.name}` in {', '.join(f'`{name}`' for name in regions)}"
            raise DataError(
                f"`{one.table.path}` has no vector for {lacking:,} of {total:,} tiles of {where}: "
                f"expected at most {MAX_MISSING:.0%}",
                hints.again(embeddings=f"{one.name}=FILE.parquet").noting("with vectors of these tiles"),
            )
        known &= have
    left_out = int((data.eligible & ~known).sum())
    if left_out:
        tiles_ = console.counted(left_out, "tile")
        task = f"task `{data.spec.name}`"
        console.warn(f"{tiles_} of {total:,} not used in {task}: no vector in `--embeddings`")
    if masked:
        names = ", ".join(f"`{one.name}`" for one in files)
        console.warn(f"`--masked` hides nothing from {names}, whose vectors come from files")
    restricted = replace(data, eligible=data.eligible & known, kept=data.kept & known)
    return restricted, UserRows(files, placed, left_out)


def _split(given: str | Path) -> tuple[str, Path]:
    """Splits `NAME=FILE` into name and path. For a path alone, the name is the file name without its extension."""
    text = str(given)
    name, equals, file = text.partition("=")
    if isinstance(given, Path) or not equals or "/" in name or Path(text).is_file():
        return legal_name(Path(text).stem), Path(text)
    return legal_name(name), Path(file)
