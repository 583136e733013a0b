"""Writes a folder with the tiles of a task for the multimodal predictor of AutoGluon: image files, and CSV files.

AutoGluon (Tang et al. 2024) reads a table as a pandas data frame, and uses every column but the label as a feature. So
`train.csv`, `val.csv` and `test.csv` have only features and the label. `tiles.csv` has everything else.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geojepa_cli.tasks.splits import SPLITS

IMAGES, TILES, README, ATTRIBUTION = "images", "tiles.csv", "README.txt", "ATTRIBUTION.txt"
IMAGE, LABEL = "image", "label"

_README = """\
{title}

train.csv, val.csv and test.csv: one row per tile, for the splits of the task.
  image    path of the image, relative to this folder; empty for a tile without an image
  {counts}
  label    label of the task{unit}
tiles.csv: region, tile, split and zoom-14 group of each row, in the order of train.csv, val.csv and test.csv.
{masked}
AutoGluon uses every column but the label as a feature. Run in this folder:

    import pandas
    from autogluon.multimodal import MultiModalPredictor

    train, val, test = (pandas.read_csv(f"{{name}}.csv") for name in ("train", "val", "test"))
    predictor = MultiModalPredictor(label="label", problem_type="regression")
    predictor.fit(train, tuning_data=val, column_types={{"image": "image_path"}})
    print((predictor.predict(test) - test["label"]).abs().mean())  # mean absolute error

If val.csv has no rows, leave out tuning_data. For images alone, keep the columns `image` and `label`. ATTRIBUTION.txt
names the sources of maps and images.
"""


class ExportedTiles(NamedTuple):
    """Tiles of a task, in the order of the dataset.

    Attributes:
        region: name of the region of each tile.
        tile: name of each tile, such as `16_18052_25957`.
        has_image: True for tiles with an image, bool [n].
        split: split of each tile, uint8 [n]; see `TaskData.split`.
        group: name of the zoom-14 tile that contains each tile.
        fold: fold of each tile, uint8 [n]; None for a task without folds.
        labels: label of each tile, float32 [n].
        columns: names of the tags and keys that are counted.
        counts: number of entities with each tag or key in each tile, int64 [n, columns].
    """

    region: Sequence[str]
    tile: Sequence[str]
    has_image: NDArray[np.bool_]
    split: NDArray[np.uint8]
    group: Sequence[str]
    fold: NDArray[np.uint8] | None
    labels: NDArray[np.float32]
    columns: Sequence[str]
    counts: NDArray[np.int64]

    def image_path(self, row: int) -> str:
        """Returns the path of the image of a tile in the folder; an empty text if it has none."""
        return f"{IMAGES}/{self.region[row]}/{self.tile[row]}.png" if self.has_image[row] else ""


def write_tables(folder: Path, tiles: ExportedTiles) -> dict[str, int]:
    """Writes `train.csv`, `val.csv`, `test.csv` and `tiles.csv`. Returns the number of tiles of each split.

    A tag or key has a column if it occurs in a training tile: other columns would be constant in training.
    """
    train = tiles.counts[tiles.split == SPLITS.index("train")]
    kept = np.flatnonzero(train.any(axis=0))
    names = [tiles.columns[place] for place in kept.tolist()]
    parts = {split: np.flatnonzero(tiles.split == SPLITS.index(split)) for split in SPLITS}
    labels = [np.format_float_positional(label, trim="-") for label in tiles.labels]  # the shortest text of a float32
    for split, rows in parts.items():
        cells = ([tiles.image_path(row), *tiles.counts[row, kept].tolist(), labels[row]] for row in rows.tolist())
        _write_csv(folder / f"{split}.csv", [IMAGE, *names, LABEL], cells)
    order = np.concatenate(list(parts.values())).tolist()
    folds = {} if tiles.fold is None else {"fold": tiles.fold.tolist()}
    columns = [tiles.region, tiles.tile, [SPLITS[int(split)] for split in tiles.split], tiles.group, *folds.values()]
    about = ([column[row] for column in columns] for row in order)
    _write_csv(folder / TILES, ["region", "tile", "split", "group", *folds], about)
    return {split: len(rows) for split, rows in parts.items()}


def write_image(folder: Path, path: str, pixels: NDArray[np.uint8]) -> None:
    """Writes an image as PNG.

    Args:
        folder: folder of the export.
        path: path in the folder, see `ExportedTiles.image_path`.
        pixels: uint8 [bands, rows, columns]; the first three bands are red, green and blue.
    """
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(np.moveaxis(pixels[:3], 0, -1))).save(target, compress_level=6)


def write_texts(folder: Path, title: str, unit: str, masked: bool, attribution: Sequence[str]) -> None:
    """Writes `README.txt` and `ATTRIBUTION.txt`.

    Args:
        folder: folder of the export.
        title: title of the task.
        unit: unit of the label; may be empty.
        masked: True if tags that reveal the label are hidden.
        attribution: attribution lines of maps and images.
    """
    hidden = (
        "\nTags and entities that reveal the label are hidden from the counts. Images still show what they are about.\n"
    )
    text = _README.format(
        title=title,
        unit=f", in {unit}" if unit else "",
        counts="k=v, k=*  number of entities with this tag, or with this key and any value",
        masked=hidden if masked else "\nThe counts include the tags that make the label.\n",
    )
    (folder / README).write_text(text, encoding="utf-8")
    (folder / ATTRIBUTION).write_text("".join(f"{line}\n" for line in attribution), encoding="utf-8")


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
