"""Parquet files with vectors of tiles, as users have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def write_vectors(path: Path, names: list[str], vectors: np.ndarray) -> Path:
    """Writes a file with the names of tiles and their vectors, [n, d]."""
    flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    pq.write_table(pa.table({"tile": names, "vector": flat}), path)
    return path
