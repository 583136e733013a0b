"""Draws a map of the PolygonGNN vectors of a region, like figures 36 and 37 of the GeoJEPA thesis.

    geojepa process --region helsinki-center --geometry-encoder polygon_gnn
    python benchmarks/geometry_picture.py workspace helsinki-center docs/geometry-vectors.png

The map is made by t-SNE (van der Maaten and Hinton 2008), from scikit-learn.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from numpy.typing import NDArray
from sklearn.manifold import TSNE

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from geojepa_cli import Workspace
from geojepa_cli.evaluate.plots.style import COLOURS, GREY, save_png
from geojepa_cli.sources.extract import OSM_ATTRIBUTION
from geojepa_cli.stages.geometry_features import FILE as VECTORS
from geojepa_cli.stages.geometry_features import find_geometry
from geojepa_cli.stages.geometry_source import find_encoder
from geojepa_cli.stages.processed import FILE as PROCESSED
from geojepa_cli.store import csr
from geojepa_cli.store.reader import RegionStore, decode_xy
from geojepa_cli.store.schema import KIND

SAMPLE = 6000
MIN_NODES = 3  # all points have the same vector, and so do all lines of two nodes
NEAREST = 5
CLASSES = ("building", "road", "other area", "other line", "relation")
LINE = 1  # value of `part/role`; higher values are rings


class Pieces(NamedTuple):
    """Pieces that are drawn. N is their number."""

    rows: NDArray[np.int64]  # [N] rows of `piece/`
    vectors: NDArray[np.float32]  # [N, D]
    nodes: NDArray[np.int64]  # [N] number of nodes
    classes: NDArray[np.int64]  # [N] index in `CLASSES`


def choose(region: RegionStore, vectors: NDArray[np.float16]) -> Pieces:
    """Chooses at most `SAMPLE` random pieces with at least `MIN_NODES` nodes. Pieces with equal nodes count once."""
    nodes = np.diff(csr.take_offsets(region["part/nodes"], region["piece/parts"].astype(np.int64)))
    _, first = np.unique(vectors, axis=0, return_index=True)
    rows = np.intersect1d(np.flatnonzero(nodes >= MIN_NODES), first)
    if len(rows) > SAMPLE:
        rows = np.sort(np.random.default_rng(0).choice(rows, SAMPLE, replace=False))
    objects = region["piece/object"][rows]
    kinds = region["object/kind"][objects]
    building, road = (_tagged(region, key)[objects] for key in ("building", "highway"))
    area, line = kinds == KIND["area"], kinds == KIND["line"]
    classes = np.select([area & building, line & road, area, line], range(4), 4)
    return Pieces(rows, vectors[rows].astype(np.float32), nodes[rows], classes)


def _tagged(region: RegionStore, key: str) -> NDArray[np.bool_]:
    """Returns True for each object that has a tag with this key."""
    has = np.array([one == key for one in region.keys])
    counts, offsets = csr.offsets(has[region["tag/vocab"]]), region["object/tags"].astype(np.int64)
    return np.asarray(counts[offsets[1:]] > counts[offsets[:-1]])


def draw_piece(axes: Axes, region: RegionStore, row: int, colour: str) -> None:
    """Draws the lines and areas of a piece, as large as the axes allow."""
    parts, nodes = region["piece/parts"].astype(np.int64), region["part/nodes"].astype(np.int64)
    rings: list[Outline] = []
    for part in range(parts[row], parts[row + 1]):
        xy = decode_xy(region["node/xy"][nodes[part] : nodes[part + 1]])
        if region["part/role"][part] > LINE:
            rings.append(Outline(np.concatenate([xy, xy[:1]]), closed=True))
        else:
            axes.plot(*xy.T, color=colour, linewidth=1.2)
    if rings:
        area = PathPatch(Outline.make_compound_path(*rings), facecolor=f"{colour}55", edgecolor=colour, linewidth=0.9)
        axes.add_patch(area)
    xy = decode_xy(region["node/xy"][nodes[parts[row]] : nodes[parts[row + 1]]])
    centre, half = (xy.max(0) + xy.min(0)) / 2, 0.6 * float(np.ptp(xy, axis=0).max())
    axes.set_aspect("equal")
    axes.set(xlim=(centre[0] - half, centre[0] + half), ylim=(centre[1] - half, centre[1] + half), xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)


def examples(pieces: Pieces) -> list[tuple[int, list[int]]]:
    """Returns one random piece of each class with its nearest pieces by cosine similarity."""
    rng = np.random.default_rng(0)
    unit = pieces.vectors - pieces.vectors.mean(0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    found = []
    for index in range(len(CLASSES)):
        rows = np.flatnonzero((pieces.classes == index) & (pieces.nodes >= 8) & (pieces.nodes <= 40))
        if len(rows):
            one = int(rng.choice(rows))
            near = np.argsort(-(unit @ unit[one]), kind="stable")
            found.append((one, [int(row) for row in near if row != one][:NEAREST]))
    return found


def draw(region: RegionStore, pieces: Pieces, name: str, target: Path) -> None:
    """Writes the picture: two maps of all vectors, and some geometries with their nearest geometries."""
    places = TSNE(2, perplexity=30, init="pca", random_state=0).fit_transform(pieces.vectors)
    shown = examples(pieces)
    figure = Figure(figsize=(13, 9), layout="constrained")
    figure.suptitle(f"PolygonGNN vectors of {len(places):,} geometries of {name}, t-SNE", fontsize=13)
    maps, strips = figure.subfigures(2, 1, height_ratios=[2.2, 1])
    left, right = maps.subplots(1, 2)
    points = left.scatter(*places.T, c=np.log10(pieces.nodes), s=3, cmap="plasma", linewidths=0)
    bar = maps.colorbar(points, ax=left, shrink=0.6)
    ticks = [n for n in (3, 5, 10, 20, 50, 100, 200, 500) if n <= pieces.nodes.max()]
    bar.set_ticks(list(np.log10(ticks)), labels=[str(n) for n in ticks])
    bar.set_label("nodes")
    for index, label in enumerate(CLASSES):
        rows = pieces.classes == index
        right.scatter(*places[rows].T, color=COLOURS[index], s=3, linewidths=0, label=f"{label} ({rows.sum():,})")
    right.legend(markerscale=4, fontsize=8, loc="upper right")
    for axes in (left, right):
        axes.set(xticks=[], yticks=[])
    strips.suptitle(f"One geometry of each class (framed), and the {NEAREST} nearest by cosine similarity", fontsize=10)
    for block, (one, near) in zip(strips.subfigures(1, len(shown), squeeze=False).flat, shown, strict=True):
        for place, row in zip(block.subplots(2, 3).flat, [one, *near], strict=True):
            draw_piece(place, region, int(pieces.rows[row]), COLOURS[pieces.classes[row]])
            if row == one:
                place.set_frame_on(True)
                for spine in place.spines.values():
                    spine.set(visible=True, color=GREY)
    figure.supxlabel(f"Map data {OSM_ATTRIBUTION}", fontsize=8, color=GREY)
    save_png(figure, target, dpi=80)


def main() -> None:
    """Runs the program."""
    if len(sys.argv) != 4:
        sys.exit("usage: geometry_picture.py WORKSPACE REGION PNG")
    workspace = Workspace(Path(sys.argv[1]))
    processed = workspace.find("processed", sys.argv[2])
    found = find_geometry(workspace, processed, find_encoder(workspace, "polygon_gnn"))
    if found is None:
        sys.exit(f"run `geojepa process --region {processed.name} --geometry-encoder polygon_gnn` first")
    with h5py.File(found.file(VECTORS)) as file:
        vectors = file["vector"][:]
    region = RegionStore(processed.file(PROCESSED))
    draw(region, choose(region, vectors), processed.name, Path(sys.argv[3]))


if __name__ == "__main__":
    main()
