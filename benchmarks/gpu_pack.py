"""Packs the regions of a workspace into one small file for `benchmarks/gpu.sh`, and unpacks it on the GPU machine.

The file is small, because it is sent to the GPU machine for each run: columns that models do not read,
such as OSM ids, are set to 0, and text embeddings that many tags share are stored once.

    python benchmarks/gpu_pack.py pack --workspace workspace --out gpu/store.tar.xz --without honolulu
    python benchmarks/gpu_pack.py unpack --file gpu/store.tar.xz --out store
"""

from __future__ import annotations

import argparse
import io
import lzma
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from geojepa_cli.store.features import write_features

CLEARED = ("piece/length_m", "piece/area_m2", "object/osm_id", "object/version")


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
        for name in packed["regions"].tolist():
            rows = packed[f"rows_{name}"]
            write_features(
                out / name / "tags.h5", packed["table"][rows], packed[f"source_{name}"], str(packed["encoder"])
            )


def _pack_tags(workspace: Path, regions: dict[str, Path]) -> bytes:
    """Returns a NumPy archive with all distinct text embeddings, and with their rows for each region."""
    rows: dict[bytes, int] = {}
    arrays: dict[str, npt.NDArray[Any]] = {"regions": np.array(list(regions))}
    for name in regions:
        features = next(iter(sorted(workspace.glob(f"features/{name}@*/tags.h5"))))
        with h5py.File(features) as file:
            vectors = [vector.tobytes() for vector in file["embedding"][...]]
            arrays[f"source_{name}"] = file["source"][...]
            arrays["encoder"] = np.array(bytes(file.attrs["encoder"]).decode())
        arrays[f"rows_{name}"] = np.array([rows.setdefault(vector, len(rows)) for vector in vectors], np.int32)
    arrays["table"] = np.stack([np.frombuffer(vector, np.float32) for vector in rows])
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    print(f"{len(rows):,} distinct text embeddings")
    return buffer.getvalue()


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
