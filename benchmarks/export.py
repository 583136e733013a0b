"""Memory and speed of `geojepa export`: one region is written many times over, as if it were a larger region.

    python benchmarks/export.py PROCESSED.h5 EMBEDDINGS.h5 --times 10 100 --format geoparquet

Each size runs in a process of its own, whose peak memory is printed. Row groups are small (`--group-mb`), so that the
number of row groups grows with the region. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from geojepa_cli.console import progress
from geojepa_cli.export import geoparquet
from geojepa_cli.export.components import fit_colours, fit_moments
from geojepa_cli.export.encoding import DecodedVectors, fit_encoding
from geojepa_cli.export.features import EntityFeatures, ExportRegion, TileFeatures
from geojepa_cli.export.gdal_layers import Layer, write_layer
from geojepa_cli.export.hilbert import hilbert_order
from geojepa_cli.export.neighbours_kept import measure_kept
from geojepa_cli.search.results import distinctive_tags
from geojepa_cli.search.tag_counts import TagStatistics, tags_of_pieces
from geojepa_cli.stages.export_space import fit_space
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.store.reader import RegionStore


class Repeated:
    """Rows of a layer, many times over: geometry, attributes and vectors, which get further values to reach a width."""

    def __init__(self, features: Any, vectors: np.ndarray, times: int, width: int) -> None:
        self._features, self._vectors, self._inner = features, vectors, features.count
        self._columns = np.arange(width) % vectors.shape[1]
        self.count, self.width, self._times = features.count * times, width, times
        self.fields, self.geometry_types = features.fields, features.geometry_types

    def centres(self) -> np.ndarray:
        """Positions of all rows."""
        return np.tile(self._features.centres(), (self._times, 1))

    def groups(self) -> np.ndarray:
        """Zoom-14 tiles of all rows."""
        return np.tile(self._features.groups(), self._times)

    def attributes(self, rows: np.ndarray) -> Any:
        """Attributes of rows."""
        return self._features.attributes(rows % self._inner)

    def geometry(self, rows: np.ndarray) -> Any:
        """Geometries of rows."""
        return self._features.geometry(rows % self._inner)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Vectors of rows, which differ a little between the copies."""
        found = self._vectors[rows % self._inner][:, self._columns].astype(np.float32)
        return found * (1 + 1e-3 * (rows // self._inner))[:, None].astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("processed", type=Path)
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("--times", type=int, nargs="+", default=[10, 100], help="how often the region is repeated")
    parser.add_argument("--level", choices=("tile", "entity"), default="tile")
    parser.add_argument("--format", choices=("geoparquet", "gpkg", "fgb"), default="geoparquet")
    parser.add_argument("--dtype", choices=("float32", "int8"), default="float32", help="int8 also measures the loss")
    parser.add_argument("--width", type=int, default=512, help="values of a vector")
    parser.add_argument("--group-mb", type=int, default=8, help="megabytes in a row group")
    parser.add_argument("--one", action="store_true", help="run the first size in this process")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(write(options)))
        return
    sizes = []
    for times in options.times:
        words = [sys.executable, __file__, *sys.argv[1:], "--times", str(times), "--one"]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        sizes.append(json.loads(done.stdout.splitlines()[-1]))
    print(json.dumps({"format": options.format, "level": options.level, "dtype": options.dtype, "sizes": sizes}))


def write(options: argparse.Namespace) -> dict[str, Any]:
    """Writes a file of one size, and returns the figures."""
    geoparquet.GROUP_BYTES = options.group_mb << 20
    region = ExportRegion("region", Embeddings(options.embeddings), RegionStore(options.processed, "region"))
    features: Any = EntityFeatures([region])
    if options.level == "tile":
        statistics = TagStatistics([region.store])
        features = TileFeatures([region], lambda *pieces: distinctive_tags(tags_of_pieces(*pieces), statistics))
    rows = Repeated(features, region.vectors[f"{options.level}/vector"], options.times[0], options.width)
    start, before = time.perf_counter(), _peak_mb()
    encoding = fit_encoding(rows, options.dtype)
    if options.dtype == "int8":
        decoded = DecodedVectors(rows, encoding)
        spaces = fit_space(rows, ()), fit_space(decoded, ())
        measure_kept(rows, decoded, rows.groups(), spaces)
    order = hilbert_order(rows.centres())
    with tempfile.TemporaryDirectory() as folder, progress("write", rows.count) as meter:
        path = Path(folder) / f"rows.{options.format}"
        if options.format == "geoparquet":
            bounds = (-180.0, -90.0, 180.0, 90.0)
            geoparquet.write_geoparquet(path, rows, rows, encoding, order, bounds, {}, "fixed", meter)
        else:
            content = Layer("rows", rows, rows, encoding, fit_colours(fit_moments(rows)), order)
            write_layer(path, options.format, content, meter)
        size = path.stat().st_size
    seconds = time.perf_counter() - start
    return {
        "rows": rows.count,
        "vectors_mb": round(rows.count * options.width * 4 / 1e6, 1),
        "file_mb": round(size / 1e6, 1),
        "rows_per_second": round(rows.count / seconds),
        "peak_mb_before": before,
        "peak_mb": _peak_mb(),
    }


def _peak_mb() -> float:
    """Largest resident memory of this process so far, in MB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


if __name__ == "__main__":
    main()
