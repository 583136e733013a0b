"""Measures what features of locations tell about elevation, forest cover and population over the globe.

Fits ridge regressions to tables with the columns `lon`, `lat` and `label`, once with random rows left out and once with
blocks of 10 degrees. Random rows have near neighbours in the training data. So they measure interpolation, and blocks
measure what carries over to other parts of the world. Prints JSON: for each table, split and kind of features, R² over
all left-out rows, with a 95 % interval by bootstrap over the blocks. `groups` is the number of blocks, and `difference`
the difference from GeoCLIP or, if it is not installed, from the first kind.

Features:

- `position`: the place on the unit sphere, three values.
- `fourier published`, `fourier added`: random Fourier features of the scales 1, 16, 256; and with 4,096 and 16,384.
- `harmonics`: spherical harmonics up to `--degree`.
- `untrained encoder`: location encoder of the published sizes with random weights.
- `geoclip`: location encoder with the weights of `pip install --no-deps geoclip==1.3.0`.
- `NAME` and `NAME (first weights)`: location encoder of a GAIR model in the workspace, with `--model NAME`.

    python benchmarks/location.py --data ../shared/data/location --threads 2
    python benchmarks/location.py --workspace workspace --model gair
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from geojepa_cli import console
from geojepa_cli.config.gair import GairConfig
from geojepa_cli.config.labels import FIRST_WEIGHTS
from geojepa_cli.errors import GeojepaError
from geojepa_cli.metrics.bootstrap import draw_groups, percentiles
from geojepa_cli.metrics.folds import group_folds
from geojepa_cli.metrics.ridge import fit_ridge
from geojepa_cli.models.base import FrozenInputs
from geojepa_cli.models.gair.build import build_gair
from geojepa_cli.models.gair.embedder import GairEmbedder
from geojepa_cli.nn.location import SCALE, FourierFeatures, LocationEncoder, equal_earth, spherical_harmonics
from geojepa_cli.nn.location import unit_vectors as sphere
from geojepa_cli.stages.embedding_model import find_model
from geojepa_cli.workspace.workspace import Workspace

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
PUBLISHED, ADDED = (1.0, 16.0, 256.0), (4096.0, 16384.0)
BLOCK_DEG = 10.0
FOLDS, DRAWS, LEVEL = 5, 2000, 0.95
GEOCLIP, GEOCLIP_DIM = "geoclip", 512
WEIGHTS = "model/weights/location_encoder_weights.pth"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints the result."""
    options = _options(arguments)
    torch.set_num_threads(options.threads)
    files = sorted(options.data.glob("*.csv"))
    if not files:
        sys.exit(f"`{options.data}` has no CSV files with the columns lon, lat and label")
    try:
        encoders = find_encoders(options)
    except GeojepaError as error:
        sys.exit(f"error: {error.message}\n\nhint: {error.hint}")
    result: dict[str, Any] = {"folds": FOLDS, "block_deg": BLOCK_DEG, "seed": options.seed, "tables": {}}
    for path in files:
        lonlat, label = read_table(path)
        features = {name: found.astype(np.float32) for name, found in features_of(lonlat, encoders, options)}
        result["tables"][path.stem] = measure(lonlat, label, features, options.seed)
        console.note(f"{path.stem}: {len(label):,} rows, {len(features)} kinds of features")
    print(json.dumps(result, indent=1))


def read_table(path: Path) -> tuple[Floats, Floats]:
    """Reads longitude and latitude in degrees, [n, 2], and the label of each row, [n]."""
    table = np.genfromtxt(path, delimiter=",", names=True, dtype=np.float64)
    return np.stack([table["lon"], table["lat"]], axis=1), np.asarray(table["label"])


def find_encoders(options: argparse.Namespace) -> dict[str, LocationEncoder]:
    """Returns the location encoders with their weights, by name."""
    torch.manual_seed(options.seed)
    found = {"untrained encoder": LocationEncoder(GEOCLIP_DIM, PUBLISHED)}
    geoclip = load_geoclip()
    if geoclip is None:
        console.warn("the package geoclip is not installed: `pip install --no-deps geoclip==1.3.0`")
    else:
        found[GEOCLIP] = geoclip
    for name in options.model or ():
        model = find_model(Workspace(options.workspace), name)
        config, opened = model.config, model.open(FrozenInputs(torch.zeros(1, 1)))
        if not isinstance(config, GairConfig) or not isinstance(opened, GairEmbedder) or model.artifact is None:
            sys.exit(f"`{name}` has no location encoder: expected a GAIR model")
        first = build_gair(config, int(model.artifact.params["seed"])).location
        found |= {name: opened.module.location, f"{name} ({FIRST_WEIGHTS})": first}
    return found


def load_geoclip() -> LocationEncoder | None:
    """Returns the location encoder with the weights of the package geoclip. None if it is not installed."""
    spec = importlib.util.find_spec(GEOCLIP)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / WEIGHTS
    theirs = torch.load(path, map_location="cpu", weights_only=True)
    encoder = LocationEncoder(GEOCLIP_DIM, PUBLISHED)
    renamed = {}
    for scale in range(len(PUBLISHED)):
        prefix = f"LocEnc{scale}"
        renamed[f"scales.{scale}.frequencies"] = theirs[f"{prefix}.capsule.0.b"].double()
        for layer, name in ((0, "capsule.1"), (2, "capsule.3"), (4, "capsule.5"), (6, "head.0")):
            for part in ("weight", "bias"):
                renamed[f"mlps.{scale}.{layer}.{part}"] = theirs[f"{prefix}.{name}.{part}"]
    encoder.load_state_dict(renamed)
    return encoder


@torch.inference_mode()
def features_of(
    lonlat: Floats, encoders: dict[str, LocationEncoder], options: argparse.Namespace
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yields the name and the features of places, [n, width], for each kind of features."""
    places = torch.from_numpy(lonlat)
    yield "position", sphere(places).numpy()
    torch.manual_seed(options.seed)
    parts = [FourierFeatures(sigma, options.frequencies)(equal_earth(places) * SCALE) for sigma in PUBLISHED + ADDED]
    yield "fourier published", torch.cat(parts[: len(PUBLISHED)], dim=1).numpy()
    yield "fourier added", torch.cat(parts, dim=1).numpy()
    yield "harmonics", spherical_harmonics(places, options.degree)[:, 1:].numpy()  # without the constant
    for name, encoder in encoders.items():
        yield name, encoder(places).numpy()


def measure(lonlat: Floats, label: Floats, features: dict[str, NDArray[np.float32]], seed: int) -> dict[str, Any]:
    """Returns R² of each kind of features with both splits."""
    blocks = blocks_of(lonlat)
    bootstrap = BlockBootstrap(label, blocks, seed)
    reference = GEOCLIP if GEOCLIP in features else next(iter(features))
    result: dict[str, Any] = {"rows": len(label), "groups": len(np.unique(blocks)), "reference": reference}
    for split, groups in (("random rows", np.arange(len(label))), ("blocks", blocks)):
        predicted = {name: left_out(x, label, groups, seed) for name, x in features.items()}
        result[split] = {
            name: {
                "width": features[name].shape[1],
                **bootstrap.r2(found),
                "difference": bootstrap.r2(found, predicted[reference]),
            }
            for name, found in predicted.items()
        }
    return result


def blocks_of(lonlat: Floats) -> Ints:
    """Returns the number of the block of 10 × 10 degrees that contains each place. int64 [n]"""
    column, row = np.floor(lonlat / BLOCK_DEG).astype(np.int64).T
    return np.asarray(column * 100 + row)


def left_out(x: NDArray[np.float32], label: Floats, groups: Ints, seed: int) -> Floats:
    """Returns the prediction of each row by a ridge regression that was fitted to the other folds, [n].

    The penalty is chosen by cross-validation within the training rows, which leaves out groups as well.
    """
    fold, found = group_folds(groups, FOLDS, seed), np.empty(len(label))
    for number in range(FOLDS):
        test = fold == number
        found[test] = fit_ridge(x[~test], label[~test], groups[~test], seed=seed).predict(x[test])
    return found


class BlockBootstrap:
    """R² in all rows and in bootstrap samples of blocks.

    Args:
        label: labels, [n].
        blocks: block of each row, [n].
        seed: random seed of the samples.
    """

    def __init__(self, label: Floats, blocks: Ints, seed: int) -> None:
        names, self._place = np.unique(blocks, return_inverse=True)
        self._label = label
        self._weights = np.concatenate([np.ones((1, len(names))), draw_groups(len(names), DRAWS, seed)])
        count, sums, squares = (self._by_block(values) for values in (np.ones_like(label), label, label**2))
        self._total = squares - sums**2 / count

    def r2(self, predicted: Floats, other: Floats | None = None) -> dict[str, float]:
        """Returns R² with its interval, or the paired difference from other predictions."""
        found = 1.0 - self._by_block((predicted - self._label) ** 2) / self._total
        if other is not None:
            found = found - (1.0 - self._by_block((other - self._label) ** 2) / self._total)
        low, high = percentiles(found[1:], LEVEL)
        return {"r2": round(float(found[0]), 4), "low": round(low, 4), "high": round(high, 4)}

    def _by_block(self, values: Floats) -> Floats:
        """Returns the sum of values over all rows, and over the rows of each sample. [1 + samples]"""
        return np.asarray(self._weights @ np.bincount(self._place, values), np.float64)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/location"), help="folder with CSV files")
    parser.add_argument("--workspace", type=Path, default=Path("workspace"), help="workspace of the models")
    parser.add_argument("--model", action="append", help="GAIR model whose location encoder is tested; repeatable")
    parser.add_argument("--frequencies", type=int, default=128, help="number of Fourier frequencies per scale")
    parser.add_argument("--degree", type=int, default=20, help="highest degree of the spherical harmonics")
    parser.add_argument("--threads", type=int, default=1, help="number of CPU threads")
    parser.add_argument("--seed", type=int, default=0, help="random seed of frequencies, folds and intervals")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
