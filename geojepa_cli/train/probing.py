"""Online probe: predicts properties of tiles from tile vectors while a model is trained.

The properties (labels) are counted in the map itself, so no task has to be built: the number of buildings, and the
presence of frequent tags. All entities that are counted are hidden from the model. The heads are fitted on tiles of the
train split, and tested on tiles of the validation split. The model was trained on both, but without labels. Tiles of
the test split are never used.
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
    """Ridge regression and nearest-neighbour regression of properties of tiles.

    Attributes:
        hidden: tiles without the entities from which labels are counted: first the tiles to fit on, then the tiles to
            test on.
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
        """Reads the tiles, counts their labels, and hides the entities from which labels were counted.

        Args:
            store: opened dataset.
            view: selection from the dataset.
            fit: rows of the tiles to fit on.
            test: rows of the tiles to test on.
            needs: modalities that the model reads.
            device: device of the model.

        Returns:
            The probe. None if there are too few tiles or entities, or if each label is the same in all tiles to fit on
            or in all tiles to test on.
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
        """Fits both heads to the tile vectors of a model, and tests them. The caller disables gradients.

        Returns:
            A dict of R² on the tiles to test on. `probe_buildings` and `probe_tags` are the scores of ridge regression;
            `knn_buildings` and `knn_tags` are those of the mean of the nearest tiles. The scores for `tags` are means
            over several tags. `probe` and `knn` are the means over all labels.
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
    """Returns R² of predictions: 1 minus their squared error divided by the squared error of a constant prediction.

    Values below `WORST` are raised to `WORST`.

    Args:
        true: labels.
        predicted: predictions.
        mean: the constant prediction.
    """
    return max(WORST, 1.0 - float(((true - predicted) ** 2).sum() / ((true - mean) ** 2).sum()))


def _count(store: TileStore, batch: TileBatch) -> tuple[dict[str, Floats], Rows]:
    """Computes the labels of tiles from the map.

    Returns:
        First, a dict of labels by name. `buildings` is log(1 + number of entities with the key `building`). `tags
        KEY=VALUE` is 1 if an entity of the tile has the tag, else 0; the tags are those that are present in about half
        of the tiles. Second, the entities from which labels were counted, as rows of the dataset's table of pieces.
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
