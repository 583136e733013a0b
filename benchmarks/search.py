"""Speed and memory of exact search, compared with a bare scan of the same bytes and with bare `torch.matmul` + `topk`.

    python benchmarks/search.py --threads 1

Writes random vectors with a common mean to a temporary file, as float32 and as float16, and searches the mapped file.
A bare scan is the faster of two: one product with a vector by torch, and one logical `or` over all bytes by NumPy. Bare
`matmul` + `topk` runs in chunks, and selects the best of each chunk and then the best of those; it neither normalises
vectors nor breaks ties. Each timing is the best of several runs; `cpu_s` is the processor time of the fastest run.
Results are compared with a search in float64. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from geojepa_cli.config.spaces import FORMS
from geojepa_cli.search.engine import DECIMALS, VectorIndex
from geojepa_cli.search.space import SearchSpace, unit_rows
from geojepa_cli.store.vector_statistics import VectorStatistics, add_rows, no_vectors

CHUNK = 16_384
BYTES_OF = {"float32": np.float32, "float16": np.float16}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=300_000)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--k", type=int, default=8)
    parser.add_argument("--form", choices=FORMS, default="centred")
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        found = {name: measure(options, Path(folder), name) for name in BYTES_OF}
    half = found["float16"]["one_query"]["wall_s"] / found["float32"]["one_query"]["wall_s"]
    half_cpu = found["float16"]["one_query"]["cpu_s"] / found["float32"]["one_query"]["cpu_s"]
    about = {**vars(options), "torch": torch.__version__}
    print(json.dumps({"options": about, **found, "float16_to_float32": {"wall": half, "cpu": half_cpu}}, indent=2))


def measure(options: argparse.Namespace, folder: Path, dtype: str) -> dict[str, Any]:
    """Returns the results for vectors of one type."""
    path = folder / dtype
    statistics = write_vectors(path, options.vectors, options.width, BYTES_OF[dtype])
    vectors = np.memmap(path, BYTES_OF[dtype], "r", shape=(options.vectors, options.width))
    rows = np.linspace(0, options.vectors - 1, options.queries).astype(np.int64)
    index, opened_s = timed(lambda: opened(vectors, SearchSpace.fit([statistics], options.form)))
    queries = unit_rows(index.space.transform(vectors[rows]))
    one = fastest(lambda: index.search(queries[:1], options.k), options.repeat)
    many = fastest(lambda: index.search(queries, options.k), max(2, options.repeat // 2))
    with PeakMemory() as opening:
        opened(vectors, index.space)
    with PeakMemory() as memory:
        index.search(queries[:1], options.k)
        index.search(queries, options.k)
    scan = fastest_of([lambda: scan_bytes(vectors), lambda: scan_product(vectors)], options.repeat)
    bare = fastest(lambda: bare_search(vectors, queries, options.k), max(2, options.repeat // 2))
    found = index.search(queries, options.k)
    return {
        "bytes": int(vectors.nbytes),
        "open_s": opened_s,
        "bare_scan": scan,
        "one_query": one,
        "one_query_to_scan": ratio(one, scan),
        "bare_matmul_topk": bare,
        "many_queries": many,
        "many_queries_to_matmul_topk": ratio(many, bare),
        "extra_memory_mb": {"opening": opening.megabytes, "searching": memory.megabytes},
        "equals_float64": equals_float64(index, queries, found.scores, found.rows),
    }


def opened(vectors: np.ndarray, space: SearchSpace) -> VectorIndex:
    """Opens an index, and makes it compute the norms, which it does otherwise at its first search."""
    index = VectorIndex(vectors, space)
    index.score_error(np.ones(vectors.shape[1]))
    return index


def write_vectors(path: Path, count: int, width: int, dtype: type) -> VectorStatistics:
    """Writes random vectors that point away from a common mean, in pairs of equal vectors at some places."""
    rng = np.random.default_rng(0)
    mean, scale = 3 * rng.standard_normal(width), np.exp(rng.standard_normal(width))
    total = no_vectors(width)
    with path.open("wb") as file:
        for begin in range(0, count, CHUNK):
            rows = rng.standard_normal((min(CHUNK, count - begin), width), np.float32) * scale + mean
            rows[1::1000] = rows[: len(rows[1::1000])]
            stored = rows.astype(dtype)
            file.write(stored.tobytes())
            total = add_rows(total, stored)
    return total


def scan_bytes(vectors: np.ndarray) -> object:
    return np.bitwise_or.reduce(vectors.reshape(-1).view(np.int64))


def scan_product(vectors: np.ndarray) -> object:
    if vectors.dtype != np.float32:
        return scan_bytes(vectors)
    return torch.mv(torch.from_numpy(vectors), torch.ones(vectors.shape[1]))


def bare_search(vectors: np.ndarray, queries: np.ndarray, k: int) -> object:
    wanted, stored = torch.from_numpy(queries).float(), torch.from_numpy(vectors)
    best = [(wanted @ part.float().T).topk(k, dim=1).values for part in stored.split(CHUNK)]
    return torch.cat(best, 1).topk(k, dim=1)


def equals_float64(index: VectorIndex, queries: np.ndarray, scores: np.ndarray, rows: np.ndarray) -> bool:
    """Compares the rows and scores with a search in which every operation is in float64."""
    best_scores, best_rows = np.zeros((len(queries), 0)), np.zeros((len(queries), 0), np.int64)
    for begin in range(0, len(index), CHUNK):
        units = unit_rows(index.space.transform(index.vectors[begin : begin + CHUNK]))
        exact = np.round(queries @ units.T, DECIMALS)
        all_scores = np.concatenate([best_scores, exact], 1)
        places = np.broadcast_to(np.arange(begin, begin + len(units)), exact.shape)
        all_rows = np.concatenate([best_rows, places], 1)
        order = np.lexsort((all_rows, -all_scores), axis=1)[:, : scores.shape[1]]
        best_scores, best_rows = (np.take_along_axis(one, order, 1) for one in (all_scores, all_rows))
    return bool(np.array_equal(best_rows, rows) and np.allclose(best_scores, scores, rtol=0, atol=1e-11))


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    return work(), time.perf_counter() - start


def fastest(work: Callable[[], Any], repeat: int) -> dict[str, float]:
    runs = []
    for _ in range(repeat):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        runs.append({"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu})
    return min(runs, key=lambda run: run["wall_s"])


def fastest_of(works: list[Callable[[], Any]], repeat: int) -> dict[str, float]:
    return min((fastest(work, repeat) for work in works), key=lambda run: run["wall_s"])


def ratio(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    return {"wall": one["wall_s"] / other["wall_s"], "cpu": one["cpu_s"] / other["cpu_s"]}


class PeakMemory:
    """Context manager that samples the private memory of the process every two milliseconds.

    Attributes:
        megabytes: largest increase of the private memory (`RssAnon`, without mapped files).
    """

    def __enter__(self) -> PeakMemory:
        self.megabytes, self._first, self._stopped = 0.0, private_megabytes(), threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stopped.wait(0.002):
            self.megabytes = max(self.megabytes, private_megabytes() - self._first)


def private_megabytes() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 1024


if __name__ == "__main__":
    main()
