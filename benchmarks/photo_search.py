"""Measures if `knn --photo` ranks the photos of a street by their distance from the photo that is searched for.

Imports a folder of photos with places in EXIF as a region with a map of these places alone, and searches for each
photo with a GAIR model. Compares the order of the other photos with their distances. Prints JSON, for each kind of
vectors:

- `spearman`: rank correlation of dissimilarity and distance over the other photos, as the mean over all photos. It is
  positive if near photos rank above far ones. The interval is a bootstrap over photos, as queries and as candidates.
- `p`: share of random assignments of places to photos with at least this mean (Mantel's test).
- `first_m`: median distance of the first other photo; `median_m` is that of a random one.

Vectors:

- `NAME`: the model, through `knn --photo`. `NAME (first weights)`: the same model before training.
- `pixels`: mean colours of 8 × 8 parts of the photo, minus those of the mean photo.
- `geoembed`: mean of the tokens of a frozen network that was trained on aerial images, if the package is installed.

The photos of one street are a case study. The places have the errors of their GPS.

    python benchmarks/demo_cities.py --workspace cities --seed 0
    geojepa --workspace cities pretrain --config gair.yaml --name gair-photos --set ground.photos=true
    python benchmarks/photo_search.py --workspace cities --model gair-photos --photos ../shared/data/photos/lund
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pyproj import Geod
from scipy.stats import rankdata

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from geojepa_cli import console, stages
from geojepa_cli.config.gair import GairConfig
from geojepa_cli.config.images import DRAWN, GEOEMBED
from geojepa_cli.config.labels import FIRST_WEIGHTS
from geojepa_cli.errors import GeojepaError
from geojepa_cli.metrics.bootstrap import percentiles
from geojepa_cli.models.gair.build import build_gair
from geojepa_cli.nn.losses.contrastive import unit
from geojepa_cli.sources.photos import open_photo
from geojepa_cli.stages.embedding_model import find_model
from geojepa_cli.stages.image_features import find_image_encoder
from geojepa_cli.stages.photos import FILE as PHOTOS_FILE
from geojepa_cli.store.photo_table import PhotoBatch, PhotoTable
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

Floats = NDArray[np.float64]
BLOCKS = 8
DRAWS, PERMUTATIONS, LEVEL = 2000, 10_000, 0.95
MARGIN_DEG = 0.002
ZOOM = 16
NODE = '<node id="{}" lon="{:.7f}" lat="{:.7f}"><tag k="tourism" v="viewpoint"/></node>'
MAP = '<osm version="0.6"><bounds minlon="{}" minlat="{}" maxlon="{}" maxlat="{}"/>{}</osm>'


def main(arguments: Sequence[str] | None = None) -> None:
    """Imports, searches, compares, prints."""
    options = _options(arguments)
    torch.set_num_threads(options.threads)
    workspace = Workspace(options.workspace)
    region = make_region(workspace, options.photos, options.region, options.threads)
    photos = stages.fetch_photos(workspace, options.photos, options.region, attribution=options.attribution)
    table = PhotoTable.open([photos.file(PHOTOS_FILE)], [ZOOM])
    distance = distances(table.lonlat)
    others = distance[~np.eye(len(distance), dtype=bool)]
    result: dict[str, Any] = {"photos": photos.ref, **photos.counts, "length_m": round(float(others.max()), 1)}
    result |= {"median_m": round(float(np.median(others)), 1), "vectors": {}}
    for name, scores in all_scores(workspace, table, region, options):
        about = {"trained_on": trained_on(workspace, name)} if name in options.model else {}
        result["vectors"][name] = compare(scores, distance, options.seed) | about
    console.emit_json("photo_search", None, result)
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def make_region(workspace: Workspace, folder: Path, name: str, threads: int) -> Artifact:
    """Publishes a region around the places of photos, with a map of these places. Returns its `processed/` artifact.

    The images are drawn from this map, because `knn` needs images. The order of photos does not depend on them.
    """
    places = []
    for path in sorted(folder.glob("*.jpg")):
        with open_photo(path) as opened:
            places.append(opened.exif.place)
    known = np.array([one for one in places if one is not None])
    box = [*(known.min(0) - MARGIN_DEG), *(known.max(0) + MARGIN_DEG)]
    nodes = "".join(NODE.format(number, *one) for number, one in enumerate(known, start=1))
    with tempfile.TemporaryDirectory(prefix="geojepa-photos-") as made:
        path = Path(made) / "map.osm"
        path.write_text(MAP.format(*box, nodes), encoding="utf-8")
        (source,) = stages.fetch(workspace, pbf=path, name=name)
    (tiled,) = stages.tile(workspace, source, threads=threads, imagery=DRAWN)
    (processed,) = stages.process(workspace, tiled.tiles, threads=threads)
    return processed


def distances(lonlat: Floats) -> Floats:
    """Returns the distance of each two places on the ellipsoid, in metres. [n, n]"""
    lon, lat = lonlat.T
    pairs = np.meshgrid(np.arange(len(lon)), np.arange(len(lon)), indexing="ij")
    a, b = (one.ravel() for one in pairs)
    _, _, found = Geod(ellps="WGS84").inv(lon[a], lat[a], lon[b], lat[b])
    return np.asarray(found, np.float64).reshape(len(lon), len(lon))


def all_scores(
    workspace: Workspace, table: PhotoTable, region: Artifact, options: argparse.Namespace
) -> Iterator[tuple[str, Floats]]:
    """Yields the similarities of each two photos, [n, n], for each kind of vectors."""
    (store,) = table.stores
    names = [store.name(row) for row in range(len(store))]
    batch = table.read(np.arange(len(table)))
    for name in options.model:
        yield name, searched(workspace, name, region, options.photos, names)
        yield f"{name} ({FIRST_WEIGHTS})", cosines(untrained(workspace, name, batch))
    yield "pixels", cosines(colours(batch.pixels))
    try:
        encoder = find_image_encoder(GEOEMBED, None).load()
    except GeojepaError as error:
        console.warn(f"{GEOEMBED} is left out: {error.message}")
        return
    with torch.inference_mode():
        yield GEOEMBED, cosines(encoder(batch.pixels).mean(1).double().numpy())


def searched(workspace: Workspace, model: str, region: Artifact, folder: Path, names: Sequence[str]) -> Floats:
    """Searches for each photo with `knn --photo`. Returns the score of each photo, [query, photo]."""
    place = {name: number for number, name in enumerate(names)}
    found = np.full((len(names), len(names)), np.nan)
    for query, name in enumerate(names):
        made = stages.knn(workspace, photo=folder / name, model=model, region=region, k=len(names), min_entities=1)
        for one in made.read_json("neighbours.json")["photos"]:
            found[query, place[one["file"]]] = one["score"]
    if np.isnan(found).any():
        raise SystemExit("error: `knn --photo` did not return all photos of the region")
    return found


def untrained(workspace: Workspace, name: str, batch: PhotoBatch) -> Floats:
    """Returns the vectors of photos with the weights of a model before training. [n, D]"""
    model = find_model(workspace, name)
    if not isinstance(model.config, GairConfig) or model.artifact is None:
        raise SystemExit(f"error: `{name}` reads no photos: expected a GAIR model with `ground.photos`")
    module = build_gair(model.config, int(model.artifact.params["seed"])).eval()
    with torch.inference_mode():
        found: Floats = unit(module.describe_photos(batch)).double().numpy()
    return found


def trained_on(workspace: Workspace, name: str) -> list[str]:
    """Returns the artifacts that a model was trained on."""
    return list(workspace.find("models", name).inputs)


def colours(pixels: torch.Tensor) -> Floats:
    """Returns the mean colours of the parts of photos, minus those of the mean photo. [n, 3 · parts]"""
    means = torch.nn.functional.adaptive_avg_pool2d(pixels.double(), BLOCKS).flatten(1)
    found: Floats = (means - means.mean(0)).numpy()
    return found


def cosines(vectors: Floats) -> Floats:
    """Returns the cosine of each two vectors. [n, n]"""
    scaled = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(scaled @ scaled.T)


def compare(scores: Floats, distance: Floats, seed: int) -> dict[str, Any]:
    """Compares the order of photos by similarity with their distances.

    Args:
        scores: similarity of each query to each photo. [n, n]
        distance: distance of each two photos. [n, n]
        seed: random seed of the interval and of the permutations.
    """
    count, rng = len(scores), np.random.default_rng(seed)
    value = float(mean_spearman(scores, distance, np.arange(count)[None])[0])
    drawn = mean_spearman(scores, distance, rng.integers(count, size=(DRAWS, count)))
    low, high = percentiles(drawn[~np.isnan(drawn)], LEVEL)
    other = scores.copy()
    np.fill_diagonal(other, -np.inf)
    first = distance[np.arange(count), other.argmax(1)]
    return {
        "spearman": {"value": round(value, 4), "low": round(low, 4), "high": round(high, 4)},
        "p": mantel(scores, distance, rng),
        "first_m": round(float(np.median(first)), 1),
    }


def mean_spearman(scores: Floats, distance: Floats, photos: NDArray[np.int64]) -> Floats:
    """Returns the mean over queries of the rank correlation of dissimilarity and distance, for each sample of photos.

    Args:
        scores: similarities. [n, n]
        distance: distances. [n, n]
        photos: indices of the photos of each sample, which are queries and candidates. A photo can be drawn several
            times. Its copies are no candidates for each other. Queries without candidates at different distances are
            left out, and equal scores count as no correlation. [samples, k]
    Returns:
        Means, NaN for a sample without queries. [samples]
    """
    query, candidate = photos[:, :, None], photos[:, None, :]
    own = query == candidate
    a, b = (centred_ranks(values[query, candidate], own) for values in (-scores, distance))
    known = b.any(2)
    with np.errstate(invalid="ignore"):
        means: Floats = (a * b).sum((1, 2)) / known.sum(1)
    return means


def mantel(scores: Floats, distance: Floats, rng: np.random.Generator) -> float:
    """Returns the share of random assignments of places to photos that fit the similarities as well as the true one."""
    own = np.eye(len(scores), dtype=bool)
    a, b = centred_ranks(-scores, own), centred_ranks(distance, own)
    orders = (rng.permutation(len(a)) for _ in range(PERMUTATIONS))
    true = float((a * b).sum()) - 1e-9
    hits = sum(float((a * b[np.ix_(order, order)]).sum()) >= true for order in orders)
    return round((hits + 1) / (PERMUTATIONS + 1), 4)


def centred_ranks(values: Floats, own: NDArray[np.bool_]) -> Floats:
    """Returns the ranks in each row, centred and scaled to length 1. A row without an order has zeros.

    Args:
        values: values of the queries (rows) for the candidates. [..., k, k]
        own: True for what is no candidate of a query; its result is 0. bool [..., k, k]
    """
    ranks = rankdata(np.where(own, np.inf, values), axis=-1)  # the others are ranked as if it did not exist
    mean = np.where(own, 0.0, ranks).sum(-1, keepdims=True) / np.maximum((~own).sum(-1, keepdims=True), 1)
    centred = np.where(own, 0.0, ranks - mean)
    length = np.linalg.norm(centred, axis=-1, keepdims=True)
    found: Floats = np.divide(centred, length, out=np.zeros_like(centred), where=length > 1e-9)
    return found


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path("workspace"), help="workspace of the models")
    parser.add_argument("--model", action="append", default=[], help="GAIR model with `ground.photos`; repeatable")
    parser.add_argument("--photos", type=Path, default=Path("../shared/data/photos/lund"), help="folder of JPEG files")
    parser.add_argument("--region", default="street", help="name of the region that the photos become")
    parser.add_argument("--attribution", default="Lund photos of OpenSfM (BSD-2)", help="attribution of the photos")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="random seed of intervals and permutations")
    parser.add_argument("--out", type=Path, help="file to write the result to as well")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
