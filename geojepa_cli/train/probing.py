"""Online probe: predicts properties of hidden entities from tile vectors while a model is trained.

The labels come from the map itself, so no task has to be built. All entities that show a label are removed from the
tiles that the model reads. The heads are fitted on tiles of the train split, and tested on tiles of the validation
split. The model was trained on both, but without labels. Tiles of the test split are never used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geojepa_cli.config.modality import Needs
from geojepa_cli.metrics.knn import nearest
from geojepa_cli.metrics.ridge import fit_ridge
from geojepa_cli.models.base import Pretrainable
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.csr import Rows
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View

NEIGHBOURS = 10
MIN_TILES = 16  # of each split
TAGS = 4  # number of frequent tags whose presence is predicted
WORST = -1.0  # scores below are raised to this value, so that one label cannot outweigh the others

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class OnlineProbe:
    """Ridge regression and nearest-neighbour regression of tile properties.

    Attributes:
        hidden: tiles without the entities that show a label: first those to fit on, then those to test on.
        labels: labels of these tiles, by name. [tiles]
        groups: zoom-14 group of each tile. [tiles]
        fitted: number of tiles to fit on.
    """

    hidden: TileBatch
    labels: dict[str, Floats]
    groups: Rows
    fitted: int

    FIT_TILES: ClassVar[int] = 128
    TEST_TILES: ClassVar[int] = 64

    @classmethod
    def open(
        cls, store: TileStore, view: View, fit: Rows, test: Rows, needs: Needs, device: torch.device
    ) -> OnlineProbe | None:
        """Reads the tiles, counts their labels, and hides the entities that show them.

        Args:
            store: opened dataset.
            view: selection from the dataset.
            fit: rows of the tiles to fit on.
            test: rows of the tiles to test on.
            needs: modalities that the model reads.
            device: device of the model.

        Returns:
            The probe. None if there are too few tiles, or if no label differs between the tiles of both splits.
        """
        if min(len(fit), len(test)) < MIN_TILES:
            return None
        tiles = np.concatenate([fit, test])
        whole = store.read(view, tiles)
        counts, pieces = _count(store, whole)
        labels = {name: y for name, y in counts.items() if y[: len(fit)].std() > 0 and y[len(fit) :].std() > 0}
        if not labels:
            return None
        hidden = store.read(view.drop(pieces=pieces), tiles, needs=needs).to(device)
        return cls(hidden, labels, store.groups[tiles], len(fit)) if hidden.n_tokens else None

    def __call__(self, model: Pretrainable[TileBatch]) -> dict[str, float]:
        """Fits and tests both heads. The caller disables gradients.

        Returns:
            R² on the tiles to test on, relative to the mean of the tiles to fit on: `probe_NAME` of ridge regression
            and `knn_NAME` of the mean of the nearest tiles, for the labels `buildings` and `tags` (mean over several
            tags); `probe` and `knn` are the means over all labels.
        """
        tiles = model.embed(self.hidden).tiles.double().cpu()
        fit, test = tiles[: self.fitted], tiles[self.fitted :]
        near = nearest(test - fit.mean(0), fit - fit.mean(0), NEIGHBOURS)[1].numpy()
        scores: dict[str, dict[str, list[float]]] = {"probe": {}, "knn": {}}
        for name, y in self.labels.items():
            known, true = y[: self.fitted], y[self.fitted :]
            ridge = fit_ridge(fit.numpy(), known, self.groups[: self.fitted]).predict(test.numpy())
            for head, predicted in (("probe", ridge), ("knn", known[near].mean(1))):
                scores[head].setdefault(name.partition(" ")[0], []).append(r2(true, predicted, float(known.mean())))
        figures: dict[str, float] = {}
        for head, found in scores.items():
            figures |= {f"{head}_{name}": float(np.mean(values)) for name, values in found.items()}
            figures[head] = float(np.mean([value for values in found.values() for value in values]))
        return figures


def r2(true: Floats, predicted: Floats, mean: float) -> float:
    """Returns 1 minus the squared error of predictions, relative to the squared error of a constant; at least `WORST`.

    Args:
        true: labels.
        predicted: predictions.
        mean: constant prediction to compare with.
    """
    return max(WORST, 1.0 - float(((true - predicted) ** 2).sum() / ((true - mean) ** 2).sum()))


def _count(store: TileStore, batch: TileBatch) -> tuple[dict[str, Floats], Rows]:
    """Counts the labels of tiles.

    Returns:
        The labels: `buildings` is log(1 + number of entities with the key `building`), and `tags KEY=VALUE` is 1 if an
        entity of the tile has the tag, else 0. The tags are those that are closest to being in half of the tiles.
        Second, the rows of the pieces that show a label, in the dataset's table of pieces.
    """
    tile_of_entity = torch.repeat_interleave(torch.arange(batch.n_tiles), batch.lengths)
    entity = torch.repeat_interleave(torch.arange(batch.n_tokens), batch.tag_offsets.diff())
    ids, used = np.unique(batch.tag_ids.numpy(), return_inverse=True)
    names, numbers = np.unique(["=".join(store.tag(i)) for i in ids.tolist()], return_inverse=True)
    tag = numbers[used]  # the same tag has several ids if there are several regions
    of_building = torch.from_numpy(np.char.startswith(names, "building=")[tag])
    present = torch.zeros(batch.n_tiles, len(names), dtype=torch.bool)
    present[tile_of_entity[entity], torch.from_numpy(tag)] = True
    share = present.double().mean(0).numpy()
    away = np.where(np.char.startswith(names, "building="), np.inf, np.abs(share - 0.5))
    chosen = [int(i) for i in np.argsort(away, kind="stable")[:TAGS] if 0 < share[i] < 1 and away[i] < 0.5]
    shows = of_building | torch.from_numpy(np.isin(tag, chosen))
    buildings = _entities_with(of_building, entity, batch.n_tokens)
    counts = torch.zeros(batch.n_tiles, dtype=torch.float64).index_add_(0, tile_of_entity, buildings.double())
    labels = {"buildings": counts.log1p().numpy()}
    labels |= {f"tags {names[i]}": present[:, i].double().numpy() for i in chosen}
    return labels, batch.piece_rows[_entities_with(shows, entity, batch.n_tokens)].numpy()


def _entities_with(chosen: Tensor, entity: Tensor, count: int) -> Tensor:
    found = torch.zeros(count, dtype=torch.bool)
    found[entity[chosen]] = True
    return found
