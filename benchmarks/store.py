"""Reading speed of the store: entities, tiles and megabytes per second of collated batches, compared with a peer.

    python benchmarks/store.py workspace/processed/*/processed.h5

The peer is a common form of such stores: one HDF5 group per tile with gzip-compressed datasets, collated by
concatenation. It is made from the same batches and must give the same tokens. Prints one JSON object.
Before a `cold` epoch the kernel is asked to drop the files' cached pages; it may not do so on every system.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from geojepa_cli.config.modality import TAGS_ONLY, Modality, Needs
from geojepa_cli.store import csr
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.sampler import TokenBudgetSampler
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View, piece_reasons

CONTENTS: dict[str, Needs] = {"tags_boxes": TAGS_ONLY, "geometry": frozenset({Modality.NODES})}
MASKED_KEYS = ("bridge", "layer", "maxspeed", "traffic_signals", "crossing:signals")
TOKEN_FIELDS = ("box", "kind", "area_m2", "length_m", "osm_type", "osm_id", "tag_ids")
GEOMETRY_FIELDS = ("node_xy", "part_role", "edges")
OFFSETS = ("tag_offsets", "node_offsets", "part_offsets", "part_node_offsets", "edge_offsets")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, help="processed.h5 of each region")
    parser.add_argument("--budget", type=int, default=16384, help="tokens of a batch")
    parser.add_argument("--repeat", type=int, default=5, help="warm epochs; the best counts")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--peer-tiles", type=int, default=1000, help="tiles in the peer store; 0 for all")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(json.dumps(measure(options), indent=2))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Returns all results as a dict for JSON."""
    for path in options.files:
        forget(path)
    start = time.perf_counter()
    store = TileStore.open(options.files)
    plain = View.default(store)
    tokens = int(store.lengths(plain).sum())
    opened_s = time.perf_counter() - start
    masked = mask(store, plain)
    size = sum(path.stat().st_size for path in options.files)
    result: dict[str, Any] = {
        "regions": len(store.regions),
        "tiles": len(plain.tiles),
        "entities": tokens,
        "entities_per_tile": tokens / max(1, len(plain.tiles)),
        "store_bytes": size,
        "bytes_per_entity": {
            "of all tiles": size / max(1, sum(int((piece_reasons(region) == 0).sum()) for region in store.regions)),
            "of tiles within the limits only": size / max(1, tokens),
            "with boundaries and areas that cover a tile": size / max(1, store.n_pieces),
        },
        "open_and_compile_s": opened_s,
        "budget": options.budget,
        "threads": options.threads,
        "dropped": plain.counts,
    }
    for name, view in (("plain", plain), ("masked", masked)):
        for content, needs in CONTENTS.items():
            result[f"{name}_{content}"] = rates(options, view, needs)
    result["peer"] = peer(options, store, masked)
    return result


def mask(store: TileStore, view: View) -> View:
    """Drops the tags of some keys and all buildings: more work for the gather than the mask of any task."""
    keys = np.array(store.keys, dtype=object)
    tags = np.flatnonzero(np.isin(keys, MASKED_KEYS))
    buildings: list[np.ndarray] = [np.empty(0, np.int64)]
    for index, region in enumerate(store.regions):
        named = np.array(region.keys, dtype=object) == "building"
        hits = csr.offsets(named[region["tag/vocab"]])[region["object/tags"]]
        objects = np.diff(hits) > 0
        buildings.append(np.flatnonzero(objects[region["piece/object"]]) + store.piece_offsets[index])
    return view.drop(tags=tags, pieces=np.concatenate(buildings))


def rates(options: argparse.Namespace, view: View, needs: Needs) -> dict[str, dict[str, float]]:
    """Measures one epoch of cold files, and the best of several warm ones."""
    for path in options.files:
        forget(path)
    store = TileStore.open(options.files)
    plan = TokenBudgetSampler(view.tiles, store.lengths(view), options.budget).plan(0)

    def read(tiles: np.ndarray) -> TileBatch:
        return store.read(view, tiles, needs)

    cold = epoch(plan, read)
    warm = [epoch(plan, read) for _ in range(options.repeat)]
    return {"cold": cold, "warm": max(warm, key=lambda figures: figures["entities_per_s"])}


def epoch(plan: list[np.ndarray], read: Callable[[np.ndarray], TileBatch]) -> dict[str, float]:
    entities = tiles = size = 0
    start = time.perf_counter()
    for rows in plan:
        batch = read(rows)
        entities += batch.n_tokens
        tiles += batch.n_tiles
        size += sum(value.nbytes for value in vars(batch).values() if value is not None)
    seconds = time.perf_counter() - start
    return {"entities_per_s": entities / seconds, "tiles_per_s": tiles / seconds, "mb_per_s": size / seconds / 1e6}


def peer(options: argparse.Namespace, store: TileStore, view: View) -> dict[str, Any]:
    """Measures a store of one gzip-compressed group per tile, with the same tiles and the same view."""
    lengths = store.lengths(view)
    chosen = np.random.default_rng(0).permutation(len(view.tiles))[: options.peer_tiles or None]
    plan = TokenBudgetSampler(view.tiles[chosen], lengths[chosen], options.budget).plan(0)
    result: dict[str, Any] = {"tiles": len(chosen)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "peer.h5"
        start = time.perf_counter()
        write_peer(path, store, view, view.tiles[chosen])
        result["built_tiles_per_s"] = len(chosen) / (time.perf_counter() - start)
        result["bytes_per_tile"] = path.stat().st_size / max(1, len(chosen))
        with h5py.File(path) as file:
            for content, needs in CONTENTS.items():
                result[content] = compare(options, store, view, file, plan, needs)
    return result


def compare(
    options: argparse.Namespace, store: TileStore, view: View, file: h5py.File, plan: list[np.ndarray], needs: Needs
) -> dict[str, float]:
    """Returns the rates of the peer, and its time divided by the store's."""

    def read_own() -> list[TileBatch]:
        return [store.read(view, rows, needs) for rows in plan]

    def read_theirs() -> list[dict[str, torch.Tensor]]:
        return [read_peer(file, rows, needs) for rows in plan]

    own = read_own()
    check_equal(own, read_theirs())
    seconds, own_s = best_s(2, read_theirs), best_s(options.repeat, read_own)
    entities, tiles = sum(batch.n_tokens for batch in own), sum(batch.n_tiles for batch in own)
    return {"entities_per_s": entities / seconds, "tiles_per_s": tiles / seconds, "ratio": seconds / own_s}


def best_s(times: int, work: Callable[[], object]) -> float:
    """Returns the shortest time of several runs in seconds."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def write_peer(path: Path, store: TileStore, view: View, tiles: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        for row in tiles.tolist():
            batch = store.read(view, [row], CONTENTS["geometry"])
            group = file.create_group(str(row))
            for name in (*TOKEN_FIELDS, *GEOMETRY_FIELDS, *OFFSETS):
                values = getattr(batch, name).numpy()
                group.create_dataset(name, data=values, **({"compression": "gzip"} if values.size else {}))


def read_peer(file: h5py.File, tiles: np.ndarray, needs: Needs) -> dict[str, torch.Tensor]:
    geometry = Modality.NODES in needs
    fields = (*TOKEN_FIELDS, *GEOMETRY_FIELDS) if geometry else TOKEN_FIELDS
    offsets = OFFSETS if geometry else OFFSETS[:1]
    items = [{name: file[str(row)][name][...] for name in (*fields, *offsets)} for row in tiles.tolist()]
    batch: dict[str, np.ndarray] = {}
    nodes = np.cumsum([0] + [len(item["node_xy"]) for item in items]) if geometry else None
    for name in fields:
        parts = [item[name] for item in items]
        if name == "edges":
            assert nodes is not None
            parts = [part + base for part, base in zip(parts, nodes, strict=False)]
        batch[name] = np.concatenate(parts, axis=1 if name == "edges" else 0)
    for name in offsets:
        ends = np.cumsum([0] + [int(item[name][-1]) for item in items])
        shifted = [item[name][:-1] + base for item, base in zip(items, ends, strict=False)]
        batch[name] = np.concatenate([*shifted, ends[-1:]])
    return {name: torch.from_numpy(values) for name, values in batch.items()}


def check_equal(own: list[TileBatch], theirs: list[dict[str, torch.Tensor]]) -> None:
    """Checks that the peer has the same tokens."""
    for batch, other in zip(own, theirs, strict=True):
        for name, values in other.items():
            if not torch.equal(getattr(batch, name), values):
                raise SystemExit(f"the peer's `{name}` differs")


def forget(path: Path) -> None:
    """Asks the kernel to drop the file's cached pages."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    main()
