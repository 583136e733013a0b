"""Packs the regions of a workspace into one small file for `benchmarks/gpu.sh`, and unpacks it on the GPU machine.

The file is small because a machine that is lent for minutes often takes little data. What models do not read, such as
OSM ids, is set to 0. Text embeddings of tags are rounded: frequent tags to 8 bits per value, rare tags to the mean of
all tags with the same key plus a few principal components. So the packed data is for training and speed, not for
publishing: the regions of the workspace give the exact embeddings.

    python benchmarks/gpu_pack.py pack --workspace workspace --out gpu/store.tar.xz --without honolulu
    python benchmarks/gpu_pack.py unpack --file gpu/store.tar.xz --out store
"""

from __future__ import annotations

import argparse
import io
import itertools
import lzma
import shutil
import sys
import tarfile
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from geojepa_cli.store.features import write_features

CLEARED = ("piece/length_m", "piece/area_m2", "object/osm_id", "object/version")
FREQUENT = 3  # tags with at least this count keep all dimensions
COMPONENTS = 32  # principal components of rare tags
Floats = npt.NDArray[np.float32]


def main() -> None:
    """Packs or unpacks."""
    options = _options()
    if options.action == "pack":
        pack(options.workspace, options.file, options.without)
    else:
        unpack(options.file, options.out)


def pack(workspace: Path, out: Path, without: list[str]) -> None:
    """Writes the regions of a workspace to a compressed tar file."""
    paths = sorted(workspace.glob("processed/*/processed.h5"))
    named = {path.parent.name.partition("@")[0]: path for path in paths}
    regions = {name: path for name, path in named.items() if name not in without}
    out.parent.mkdir(parents=True, exist_ok=True)
    # a large window finds columns that repeat between regions
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": 1 << 28}]
    with (
        tempfile.TemporaryDirectory() as folder,
        lzma.open(out, "wb", filters=filters) as file,
        tarfile.open(fileobj=file, mode="w") as tar,
    ):
        _add(tar, "tags.npz", _pack_tags(workspace, regions))
        for name, path in regions.items():
            copy = Path(folder) / "processed.h5"
            shutil.copyfile(path, copy)
            copy.chmod(0o644)
            with h5py.File(copy, "r+") as region:
                for column in CLEARED:
                    region[column][...] = 0
            _add(tar, f"{name}/processed.h5", copy.read_bytes())
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, {len(regions)} regions")


def unpack(path: Path, out: Path) -> None:
    """Writes `processed.h5` and `tags.h5` of each region to folders of the regions."""
    with lzma.open(path) as file, tarfile.open(fileobj=file, mode="r") as tar:
        tar.extractall(out, filter="data")
    with np.load(out / "tags.npz", allow_pickle=False) as packed:
        table = _table({name: packed[name] for name in packed.files})
        for name in packed["regions"].tolist():
            rows = packed[f"rows_{name}"]
            write_features(out / name / "tags.h5", table[rows], packed[f"source_{name}"], str(packed["encoder"]))


def _pack_tags(workspace: Path, regions: dict[str, Path]) -> bytes:
    """Rounds the text embeddings of all distinct tags. Returns a NumPy archive."""
    rows: dict[tuple[bytes, bytes], int] = {}
    counts: Counter[int] = Counter()
    vectors: list[Floats] = []
    arrays: dict[str, npt.NDArray[Any]] = {"regions": np.array(list(regions))}
    for name, path in regions.items():
        features = next(iter(sorted(workspace.glob(f"features/{name}@*/tags.h5"))))
        with h5py.File(path) as region, h5py.File(features) as file:
            tags = list(zip(_texts(region, "key"), _texts(region, "value"), strict=True))
            found = region["vocab/count"][...]
            embedding = file["embedding"][...]
            arrays[f"source_{name}"] = file["source"][...]
            arrays["encoder"] = np.array(bytes(file.attrs["encoder"]).decode())
        own = np.empty(len(tags), np.int32)
        for i, tag in enumerate(tags):
            if tag not in rows:
                rows[tag] = len(rows)
                vectors.append(embedding[i])
            own[i] = rows[tag]
            counts[rows[tag]] += int(found[i])
        arrays[f"rows_{name}"] = own
    keys = {key: i for i, key in enumerate(sorted({key for key, _ in rows}))}
    key_of = np.array([keys[key] for key, _ in rows], np.int32)
    arrays |= _round(np.stack(vectors), key_of, np.array([counts[i] for i in range(len(rows))]))
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    print(f"{len(rows):,} distinct tags, {int((arrays['full'] > 0).sum()):,} with all dimensions")
    return buffer.getvalue()


def _round(table: Floats, key_of: npt.NDArray[np.int32], counts: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    means = np.zeros((key_of.max() + 1, table.shape[1]), np.float32)
    np.add.at(means, key_of, table)
    means = (means / np.bincount(key_of)[:, None]).astype(np.float16)
    rest = table - means[key_of].astype(np.float32)
    full = counts >= FREQUENT
    basis = np.linalg.svd(rest[~full][:20_000], full_matrices=False)[2][:COMPONENTS].astype(np.float32)
    rare = rest[~full] @ basis.T
    scales = np.array([np.abs(rest[full]).max() / 127, np.abs(rare).max() / 127], np.float32)
    rounded = [np.rint(x / scale).astype(np.int8) for x, scale in zip((rest[full], rare), scales, strict=True)]
    kept = 1.0 - np.square(rest[~full] - rare @ basis).sum() / np.square(table[~full]).sum()
    print(f"rare tags keep {kept:.1%} of their squared length")
    arrays = {"full": full.astype(np.uint8), "frequent": rounded[0], "rare": rounded[1], "scales": scales}
    return arrays | {"means": means, "key_of": key_of, "basis": basis}


def _table(arrays: dict[str, npt.NDArray[Any]]) -> Floats:
    """Returns the rounded table of text embeddings. [V, width]"""
    table: Floats = arrays["means"][arrays["key_of"]].astype(np.float32)
    full = arrays["full"].astype(bool)
    table[full] += arrays["frequent"] * arrays["scales"][0]
    table[~full] += (arrays["rare"] * arrays["scales"][1]) @ arrays["basis"]
    return table


def _texts(region: h5py.File, column: str) -> list[bytes]:
    text, ends = region[f"vocab/{column}_utf8"][...].tobytes(), region[f"vocab/{column}"][...].tolist()
    return [text[a:b] for a, b in itertools.pairwise(ends)]


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    packing = actions.add_parser("pack", help="pack the regions of a workspace")
    packing.add_argument("--workspace", type=Path, default=Path("workspace"))
    packing.add_argument("--out", dest="file", type=Path, required=True, help="file to write")
    packing.add_argument("--without", action="append", default=[], help="region to leave out, such as a test region")
    unpacking = actions.add_parser("unpack", help="unpack a file")
    unpacking.add_argument("--file", type=Path, required=True)
    unpacking.add_argument("--out", type=Path, required=True, help="folder to write to")
    return parser.parse_args()


if __name__ == "__main__":
    main()
