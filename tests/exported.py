"""Makes and checks exports of vectors in tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
from commandline import output_of
from stac_rules import check_stac
from synthetic_workspace import ATTRIBUTION, add_region

from geojepa_cli import Workspace
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.workspace.artifact import Artifact

OAK = ("export", "--model", "tagpool", "--region", "oak", "--date", "2024-07-03")


def two_regions(root: Path) -> Workspace:
    """The region `oak`, and `elm`, which has some of its tiles."""
    made = Workspace(root)
    add_region(made, "oak", 1, 160)
    add_region(made, "elm", 2, 60)
    return made


def export(workspace: Workspace, *more: object, base: tuple[str, ...] = OAK) -> Artifact:
    answer = json.loads(output_of(workspace, *base, *more, "--json"))
    made = workspace.find("exports", answer["artifact"])
    assert answer["result"]["path"] == str(made.path) and not made.verify()
    return made


def vectors_of(workspace: Workspace, region: str = "oak") -> Embeddings:
    return Embeddings(workspace.find("embeddings", f"tagpool.{region}").file("embeddings.h5"))


def by_tile(vectors: Embeddings) -> dict[str, np.ndarray]:
    return {vectors.tile_name(row): np.asarray(vectors["tile/vector"][row]) for row in range(vectors.n_tiles)}


def validate(path: Path, tmp_path: Path) -> None:
    """Checks a file with geoparquet-validator, and with geoparquet-io, which needs an extension of DuckDB."""
    tool = Path(sys.executable).with_name("geoparquet-validator")
    done = subprocess.run([tool, "check", "--json", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    import duckdb_extension_spatial

    (extension,) = Path(duckdb_extension_spatial.__file__).parent.rglob("*.duckdb_extension")
    home = tmp_path / "home"
    folder = home / ".duckdb/extensions" / f"v{duckdb.__version__}" / "linux_amd64"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / extension.name).unlink(missing_ok=True)
    (folder / extension.name).symlink_to(extension)
    gpio = Path(sys.executable).with_name("gpio")
    for check in (("spec",), ("bbox",), ("compression",)):
        words = [gpio, "check", *check, "--strict", path]
        done = subprocess.run(words, capture_output=True, text=True, env={"HOME": str(home), "PATH": "/usr/bin:/bin"})
        assert done.returncode == 0, done.stdout + done.stderr


def check_metadata(made: Artifact, file: str, model: bool = False) -> dict[str, Any]:
    """Checks the STAC files, and returns the item. It is also in the header of a Parquet file."""
    item = made.read_json("item.json")
    collection = made.read_json("collection.json")
    for content in (item, collection, *([made.read_json("model.json")] if model else [])):
        check_stac(content)
    assert item["collection"] == collection["id"] and item["assets"]["embeddings"]["href"] == f"./{file}"
    if file.endswith(".parquet"):
        assert json.loads(pq.read_metadata(made.file(file)).metadata[b"emb"]) == item
    assert item["properties"]["geojepa:attribution"] == ATTRIBUTION
    return item
