"""Training and embedding need no more packages than a GPU machine has."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from training import write_region

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("torch", "numpy", "h5py", "pydantic", "pyyaml", "safetensors", "rich", "typer")

PROGRAM = '''
import json
import sys
from pathlib import Path

REFUSED, FOLDER = set(json.loads(sys.argv[1])), Path(sys.argv[2])


class Without:
    """A finder to which refused packages are not installed."""

    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in REFUSED else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)


sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]

import importlib
import pkgutil

import geojepa_cli.models, geojepa_cli.store, geojepa_cli.train

for package in (geojepa_cli.models, geojepa_cli.train, geojepa_cli.store):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)

from geojepa_cli import console
from geojepa_cli.config.load import load_config
from geojepa_cli.evaluate.embed import embed_chunks, open_chunks
from geojepa_cli.models.published import save_model
from geojepa_cli.models.registry import build_pretrainable, open_baseline, open_published
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.train.data import TrainingData
from geojepa_cli.train.loop import train
from geojepa_cli.train.memory import check_memory

keys = ["model.tag_dim=16", "model.embed_dim=32", "model.depth=1", "train.batch_tokens=300", "train.max_steps=2"]
config = load_config("tiny.yaml", keys)
data = TrainingData.open(config, [FOLDER / "processed.h5"], [FOLDER / "tags.h5"], [None], 0)
check_memory(config, data)
model = build_pretrainable(config, data.inputs, 0)
result = train(model, data, config.train, FOLDER, 0)
save_model(FOLDER, model.module, config)
found = {}
for embedder in (open_published(FOLDER, config.family, data.inputs), open_baseline("tagpool", data.inputs)):
    with console.progress("embed") as meter:
        attributes = {"model": embedder.name, "region": "oak"}
        embed_chunks(open_chunks(data.store, data.view, embedder, FOLDER, attributes), FOLDER, meter)
    vectors = Embeddings(FOLDER / "embeddings.h5")
    found[embedder.name] = [vectors.n_tiles, float(abs(vectors["tile/vector"]).max())]
print(json.dumps({"steps": result.progress.step, "found": found}))
'''


def refused_modules() -> set[str]:
    """Top-level modules of all installed packages except the needed ones and what these require."""
    modules_of: dict[str, set[str]] = {}
    for module, packages in metadata.packages_distributions().items():
        for package in packages:
            modules_of.setdefault(_normalise(package), set()).add(module)
    waiting, needed = ["geojepa", *NEEDED], set()
    while waiting:
        package = _normalise(waiting.pop())
        if package in needed or package not in modules_of:  # packages of other systems are not installed
            continue
        needed.add(package)
        required = [] if package == "geojepa" else metadata.requires(package) or []
        waiting += [re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0] for line in required if "extra ==" not in line]
    allowed = set().union(*(modules_of[package] for package in needed))
    return set().union(*modules_of.values()) - allowed - set(sys.stdlib_module_names)


def _normalise(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


def test_models_train_and_embed_without_any_other_package(tmp_path: Path) -> None:
    folder = write_region(tmp_path / "oak@000000000000")
    refused = refused_modules()
    assert {"shapely", "osmium", "rasterio", "pyproj", "PIL", "matplotlib", "pystac_client"} <= refused
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(sorted(refused)), str(folder)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["steps"] == 2
    assert all(n_tiles > 0 and largest > 0 for n_tiles, largest in answer["found"].values())
    assert set(answer["found"]) == {"jepa", "tagpool"}
