"""Trains GAIR's reading of images on aerial images alone: overlapping crops must agree about the same ground point.

Joins the image tiles of whole zoom-14 groups (896 × 896 px) and cuts two crops of 224 px that overlap by at least a
half along each side. The overhead encoder and the interpolation of `gair.yaml` read points of both. The vectors of the
same ground point must be more similar than those of other points (InfoNCE, both ways). The groups are divided into
folds; each is tested by models that were trained on the others.

A test takes 1,000 points of a group, about 45 m apart. Each is read from a crop of one grid and from a crop of a second
grid, which is shifted by 32 to 192 px. A point of the first must be the most similar one of all points of the second.
With `--turn`, the second crops are turned by a random multiple of 90 degrees, in training too. Prints JSON: `recall_1`,
`recall_10` and the share of points found within 34 m (one cell), with 95 % intervals by bootstrap over groups, and
paired differences of the trained network from the others.

- `trained`, `first weights`: the network after and before training.
- `pixels`: the 16 × 16 pixels around the point, minus their mean. Without `--turn`, both crops have the same pixels, so
  this measures how much of the test needs no network.

    python benchmarks/crops.py --images ../shared/data/naip/tiles --seeds 3 --steps 200
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.crop_pairs import POINTS, SIDE, Crops, Mosaic, Points, draw_crops, points_to_test, read_mosaics
from geojepa_cli import console
from geojepa_cli.config.gair import GairConfig
from geojepa_cli.config.load import load_run_config
from geojepa_cli.metrics.bootstrap import draw_groups, percentiles
from geojepa_cli.metrics.folds import group_folds
from geojepa_cli.models.gair.build import build_gair
from geojepa_cli.models.gair.gair import Gair
from geojepa_cli.models.gair.readings import read_image
from geojepa_cli.nn.losses.contrastive import info_nce_pairs, unit

Floats = NDArray[np.float64]
PATCH = 8  # pixels around a point on each side
NEAR_PX = 8.0  # closer points of an image are no negatives
FIGURES = ("recall_1", "recall_10", "within_a_cell")
CELL_M = 34.0
DRAWS, LEVEL = 2000, 0.95
TRAINED, FIRST, PIXELS = "trained", "first weights", "pixels"


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains, tests, compares, prints."""
    options = _options(arguments)
    torch.set_num_threads(options.threads)
    mosaics = [one for folder in options.images for one in read_mosaics(folder)]
    if len(mosaics) < options.folds:
        raise SystemExit(f"error: expected at least {options.folds} whole zoom-14 groups, got {len(mosaics)}")
    config = load_run_config("gair.yaml", options.set)
    assert isinstance(config, GairConfig)
    fold = group_folds(np.arange(len(mosaics)), options.folds, 0)
    found: dict[str, list[Floats]] = defaultdict(lambda: [np.zeros((0, len(FIGURES)))] * len(mosaics))
    for number in range(options.folds):
        for seed in range(options.seeds):
            model = build_gair(config, seed).eval()
            tested = [
                (one, points_to_test(mosaics[one], one, seed, options.turn)) for one in np.flatnonzero(fold == number)
            ]
            for name in (FIRST, PIXELS, TRAINED):
                if name == TRAINED:
                    train(model, [mosaics[one] for one in np.flatnonzero(fold != number)], seed, options)
                for one, points in tested:
                    figures = figures_of(*read(model, points, name == PIXELS), points.xy, mosaics[one].metres)
                    found[name][one] = np.concatenate([found[name][one], figures])
    names = [one.name for one in mosaics]
    settings = {name: getattr(options, name) for name in ("seeds", "steps", "pairs", "points", "folds", "turn", "set")}
    result = {"groups": names, **settings, **report(dict(found))}
    console.emit_json("crops", None, result)
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def train(model: Gair, mosaics: Sequence[Mosaic], seed: int, options: argparse.Namespace) -> None:
    """Trains the overhead encoder and the interpolation of a model on pairs of crops."""
    rng = torch.Generator().manual_seed(seed)
    weights = [*model.overhead.parameters(), *model.interpolation.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=options.lr, betas=(0.9, 0.95), weight_decay=0.05)
    warmup = max(options.steps // 10, 1)
    model.train()
    for step in range(options.steps):
        share = min((step + 1) / warmup, (options.steps - step) / (options.steps - warmup + 1))
        for group in optimizer.param_groups:
            group["lr"] = options.lr * share
        crops = draw_crops(mosaics, options.pairs, options.points, options.turn, rng)
        loss = pair_loss(model, crops)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % max(options.steps // 4, 1) == 0:
            console.note(f"step {step + 1} of {options.steps}: loss {loss.item():.3f}")
    model.eval()


def pair_loss(model: Gair, crops: Crops, temperature: float = 0.07) -> Tensor:
    """Returns the InfoNCE loss of the same points in both crops, as the mean over both directions."""
    tokens = model.overhead(torch.cat([crops.first, crops.second]))
    features, count = model.overhead.as_map(tokens), len(crops.first)
    a = unit(model.interpolation(features[:count], crops.uv_first, crops.crop))
    b = unit(model.interpolation(features[count:], crops.uv_second, crops.crop))
    same = crops.places[:, None, 0] == crops.places[None, :, 0]
    near = same & (torch.cdist(crops.places[:, 1:], crops.places[:, 1:]) < NEAR_PX)
    return (info_nce_pairs(a, b, near, temperature).mean() + info_nce_pairs(b, a, near, temperature).mean()) / 2


@torch.inference_mode()
def read(model: Gair, points: Points, pixels: bool) -> tuple[Tensor, Tensor]:
    """Returns the vectors of test points in both grids of crops. [q, D] each"""
    found = []
    for crops, crop, uv in zip(points.crops, points.crop, points.uv, strict=True):
        found.append(patches(crops, crop, uv) if pixels else read_image(model, model.overhead(crops), uv, crop))
    return found[0], found[1]


def patches(crops: Tensor, crop: Tensor, uv: Tensor) -> Tensor:
    """Returns the pixels around points minus their mean, of length 1. Beyond the border, pixels repeat. [q, D]"""
    padded = torch.nn.functional.pad(crops.float(), [PATCH] * 4, mode="replicate")
    x, y = (uv * SIDE).floor().long().clamp(0, SIDE - 1).T
    step = torch.arange(2 * PATCH)
    found = padded[crop[:, None, None], :, y[:, None, None] + step[:, None], x[:, None, None] + step].flatten(1)
    return unit(found - found.mean(1, keepdim=True))


def figures_of(a: Tensor, b: Tensor, xy: Tensor, metres: float) -> Floats:
    """Returns `FIGURES` of each point. Ties count as the mean over their orders. [q, 3]"""
    scores = (a @ b.T).double()
    own = scores.diagonal()[:, None]
    above = (scores > own + 1e-6).sum(1)
    equal = ((scores - own).abs() <= 1e-6).sum(1)  # with the point itself
    first = torch.cdist(xy, xy)[torch.arange(len(xy)), scores.argmax(1)] * metres
    shares = [((depth - above) / equal).clamp(0.0, 1.0) for depth in (1, 10)]
    return np.asarray(torch.stack([*shares, (first <= CELL_M).double()], dim=1).numpy())


def report(found: dict[str, list[Floats]]) -> dict[str, Any]:
    """Returns the figures of each network, and differences from the trained one, with intervals.

    Args:
        found: for each network, the figures of all points of each group and seed, [q, 3].
    """
    weights = draw_groups(len(found[TRAINED]), DRAWS, 0)
    means = {name: np.stack([one.mean(0) for one in by_group]) for name, by_group in found.items()}

    def described(by_group: Floats) -> dict[str, dict[str, float]]:
        drawn = weights @ by_group / len(by_group)
        values: dict[str, dict[str, float]] = {}
        for column, name in enumerate(FIGURES):
            low, high = percentiles(drawn[:, column], LEVEL)
            value = float(by_group[:, column].mean())
            values[name] = {"value": round(value, 4), "low": round(low, 4), "high": round(high, 4)}
        return values

    return {
        "queries": sum(map(len, found[TRAINED])),
        "random": {"recall_1": 1 / POINTS, "recall_10": 10 / POINTS},
        "networks": {name: described(one) for name, one in means.items()},
        "differences": {name: described(means[TRAINED] - one) for name, one in means.items() if name != TRAINED},
    }


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, action="append", help="folder of tiles `16_X_Y.webp`; repeatable")
    parser.add_argument("--set", action="append", default=[], help="setting to replace in gair.yaml")
    parser.add_argument("--steps", type=int, default=200, help="training steps")
    parser.add_argument("--pairs", type=int, default=8, help="pairs of crops per step")
    parser.add_argument("--points", type=int, default=32, help="points per pair")
    parser.add_argument("--lr", type=float, default=1e-3, help="highest learning rate")
    parser.add_argument("--folds", type=int, default=3, help="parts that are left out of training in turn")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--turn", action="store_true", help="turn the second crops by multiples of 90 degrees")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="file to write the result to as well")
    options = parser.parse_args(arguments)
    options.images = options.images or [Path("../shared/data/naip/tiles")]
    return options


if __name__ == "__main__":
    main()
