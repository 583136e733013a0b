"""Reads the embeddings that a probe tests, and makes the content of the probe's `report.json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from geojepa_cli.stages.tasks import REPORT_FILE as TASK_REPORT
from geojepa_cli.workspace.artifact import Artifact

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geojepa_cli.evaluate.probe import ProbeResult
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.tasks.dataset import TaskData


def tile_vectors(store: TileStore, rows: NDArray[Any], embeddings: Sequence[Artifact]) -> NDArray[Any]:
    """Reads the embeddings of n tiles, float32 [n, 2D], where D is the embedding dimension of the model.

    Args:
        store: dataset of all regions of the probe.
        rows: row of each tile in the store, [n], in ascending order.
        embeddings: `embeddings/` artifacts of one model, one for each region.

    Raises:
        DataError: a tile has no embedding.
    """
    import numpy as np

    from geojepa_cli.store.embeddings import Embeddings

    parts = []
    for index, artifact in enumerate(embeddings):
        vectors = Embeddings(artifact.file("embeddings.h5"))
        vectors.check_source(store.regions[index])
        vectors.check_vectors("tile/vector")
        first, last = store.tile_offsets[index : index + 2]
        wanted = rows[(rows >= first) & (rows < last)] - first
        known = vectors["tile/row"].astype(np.int64)
        places = np.searchsorted(known, wanted)
        found = places < len(known)
        found[found] = known[places[found]] == wanted[found]
        if not found.all():
            raise artifact.broken(f"{int((~found).sum())} tiles of the task have no embedding in `{artifact.path}`")
        parts.append(np.asarray(vectors["tile/vector"][places]))
    return np.concatenate(parts)


def count_shared(store: TileStore, data: TaskData, masked: bool) -> dict[str, int]:
    """Counts the entities that belong to an OSM element in several zoom-14 tiles.

    Returns:
        A dict with the number of these entities (`hidden`), and the number of all entities of the task (`entities`).
    """
    from geojepa_cli.tasks.leakage import SHARED

    hidden = data.view_without_shared(store, masked).counts.get(SHARED, 0)
    return {"hidden": hidden, "entities": int(store.lengths(data.view(masked)).sum())}


def report_content(
    data: TaskData, result: ProbeResult, params: dict[str, Any], regions: Sequence[Artifact], tasks: Sequence[Artifact]
) -> dict[str, Any]:
    """Returns the content of `report.json`.

    Args:
        data: labels and splits of the task in all regions.
        result: scores of the probe.
        params: parameters of the `probes/` artifact.
        regions: `processed/` artifacts of the regions.
        tasks: `tasks/` artifacts of the regions, in the same order.
    """
    strongest = {}
    for processed, task in zip(regions, tasks, strict=True):
        found = task.read_json(TASK_REPORT)["strongest"]
        strongest[processed.name] = {"measure": found["measure"], "tags": found["tags"][:3]}
    return {
        **params,
        "title": data.spec.title,
        "unit": data.spec.label.unit,
        "regions": [processed.ref for processed in regions],
        "protocol": result.protocol,
        "random": result.random,
        "buffer": result.buffer,
        "stands_on": result.describe(),
        "groups": result.groups,
        "test_groups": result.test_groups,
        "tiles": result.tiles,
        "tiles_unthinned": result.tiles_unthinned,
        "figures": [score.to_json() for score in result.scores],
        "strongest": strongest,
    }
