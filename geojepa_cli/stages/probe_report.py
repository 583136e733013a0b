"""Reads the embeddings that a probe tests, and makes the content of the probe's `report.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from geojepa_cli.stages.tasks import REPORT_FILE as TASK_REPORT
from geojepa_cli.workspace.artifact import Artifact

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geojepa_cli.evaluate.label_shares import LabelCount
    from geojepa_cli.evaluate.probe import ProbeResult
    from geojepa_cli.evaluate.protocols import Protocol
    from geojepa_cli.evaluate.scores import Score
    from geojepa_cli.stages.probe_regions import BuiltTask
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.store.tile_parts import TileParts
    from geojepa_cli.tasks.dataset import TaskData


class TileVectors:
    """Reads the tile embeddings of models. Checks each embeddings file once, even if it is read for several tasks."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}
        self._parts: dict[str, TileParts] = {}

    def read(self, store: TileStore, rows: NDArray[Any], embeddings: Sequence[Artifact]) -> NDArray[Any]:
        """Returns the embeddings of n tiles, float32 [n, W], where W is the length of the model's tile embeddings.

        Args:
            store: tiles of all regions of the probe.
            rows: indexes of the n tiles in `store`, in ascending order.
            embeddings: `embeddings/` artifacts of one model, one for each region.

        Raises:
            DataError: a tile has no embedding.
        """
        import numpy as np

        parts = []
        for index, artifact in enumerate(embeddings):
            known, vectors = self._open(store, index, artifact)
            first, last = store.tile_offsets[index : index + 2]
            wanted = rows[(rows >= first) & (rows < last)] - first
            places = np.searchsorted(known, wanted)
            found = places < len(known)
            found[found] = known[places[found]] == wanted[found]
            if not found.all():
                raise artifact.broken(f"{int((~found).sum())} tiles of the task have no embedding in `{artifact.path}`")
            parts.append(np.asarray(vectors[places]))
        return np.concatenate(parts)

    def parts(self, embeddings: Sequence[Artifact]) -> TileParts:
        """Returns the parts of the tile embeddings of one model, which `read` has read. Empty if they are not known."""
        return self._parts[embeddings[0].full_ref]

    def _open(self, store: TileStore, index: int, artifact: Artifact) -> tuple[NDArray[Any], NDArray[Any]]:
        """Opens an embeddings file. Returns the index of each tile in the region, int64 [m], and the vectors [m, W]."""
        import numpy as np

        from geojepa_cli.store.embeddings import FILE as EMBEDDINGS_FILE
        from geojepa_cli.store.embeddings import Embeddings

        if artifact.full_ref not in self._known:
            found = Embeddings(artifact.file(EMBEDDINGS_FILE))
            found.check_source(store.regions[index])
            found.check_vectors("tile/vector")
            self._parts[artifact.full_ref] = found.tile_parts
            self._known[artifact.full_ref] = found["tile/row"].astype(np.int64), found["tile/vector"]
        return self._known[artifact.full_ref]


def count_shared(store: TileStore, data: TaskData, masked: bool) -> dict[str, int]:
    """Counts the entities whose OSM element lies in several zoom-14 tiles or, for a random split, in several tiles.

    An entity is the part of an OSM element in one tile. With the option `--without-shared`, `probe` also tests
    embeddings for which these entities were hidden from the models.

    Returns:
        A dict with the number of these entities (`hidden`), and the number of all entities of the task (`entities`).
    """
    from geojepa_cli.tasks.leakage import SHARED

    hidden = data.view_without_shared(store, masked).counts.get(SHARED, 0)
    return {"hidden": hidden, "entities": int(store.lengths(data.view(masked)).sum())}


def report_content(
    data: TaskData,
    result: ProbeResult,
    params: dict[str, Any],
    built: BuiltTask,
    protocols: Mapping[str, Protocol],
    models: Mapping[str, str],
) -> dict[str, Any]:
    """Returns the content of `report.json`.

    Args:
        data: labels and splits of the task in all regions.
        result: scores of the probe.
        params: parameters of the `probes/` artifact.
        built: regions and artifacts of the task.
        protocols: dict from the reference of each model (`name@id`) to its protocol.
        models: dict from the name of each row in the table of scores to the reference of the model in this row.
    """
    from geojepa_cli.evaluate.protocols import NO_PRETRAINING

    strongest = {}
    for processed, task in zip(built.regions, built.artifacts, strict=True):
        found = task.read_json(TASK_REPORT)["strongest"]
        strongest[processed.name] = {"measure": found["measure"], "tags": found["tags"][:3]}

    def scores(listed: Sequence[Score]) -> list[dict[str, Any]]:
        refs = [models.get(one.model) for one in listed]
        named = [NO_PRETRAINING if ref is None else protocols[ref].name for ref in refs]
        return [{**one.to_json(), "ref": r, "protocol": p} for one, r, p in zip(listed, refs, named, strict=True)]

    def labels(count: LabelCount) -> dict[str, float]:
        return {"share": count.share, "tiles": round(count.tiles, 1), "groups": round(count.groups, 1)}

    return {
        **params,
        "title": data.spec.title,
        "unit": data.spec.label.unit,
        "regions": [processed.ref for processed in built.regions],
        "evaluation": result.evaluation,
        "random": result.random,
        "buffer": result.buffer,
        "evaluation_description": result.describe(),
        "groups": result.groups,
        "test_groups": result.test_groups,
        "tiles": result.tiles,
        "tiles_unthinned": result.tiles_unthinned,
        "labels": labels(result.labels),
        "scores": scores(result.scores),
        "curve": [{"labels": labels(point.labels), "scores": scores(point.scores)} for point in result.curve],
        "protocols": {ref: found.to_json() for ref, found in protocols.items()},
        "strongest": strongest,
    }
