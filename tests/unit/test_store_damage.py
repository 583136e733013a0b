"""Damaged files of the store: refused with a hint, or read without any other error."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from synthetic_embeddings import write_synthetic_embeddings
from synthetic_store import write_synthetic_features, write_synthetic_images, write_synthetic_processed

from geojepa_cli.config.modality import Modality
from geojepa_cli.errors import DataError
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.store.entity_rows import COLUMNS
from geojepa_cli.store.features import open_features
from geojepa_cli.store.images import ImageStore
from geojepa_cli.store.label_file import read_labels, write_labels
from geojepa_cli.store.photos import PhotoRow, PhotoStore, write_photos
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.tile_map import read_map
from geojepa_cli.store.view import View
from geojepa_cli.store.view_file import load_views, save_views

N_TILES = 12
pytestmark = pytest.mark.filterwarnings(
    "ignore:(invalid value|overflow|divide by zero) encountered"
)  # of damaged boxes


class Files:
    """A file of each kind, and a function for each that reads all of it."""

    def __init__(self, folder: Path) -> None:
        self.processed = write_synthetic_processed(folder / "r@1/processed.h5", seed=5, n_tiles=N_TILES)
        self.tiles = write_synthetic_processed(folder / "r@1/tiles.h5", seed=5, n_tiles=N_TILES, kind="tiles")
        self.store = TileStore.open([self.processed])
        self.n_vocab = self.store.n_vocab
        self.tags = write_synthetic_features(folder / "tags.h5", self.n_vocab, width=4)
        vectors = np.random.default_rng(0).standard_normal((2000, 6))
        view = View.full(self.store)
        n_tokens = int(self.store.lengths(view).sum())
        self.embeddings = write_synthetic_embeddings(
            folder / "embeddings.h5", self.store, view, vectors[:N_TILES], vectors[:n_tokens, :3]
        )
        names = [tuple(map(int, zxy)) for zxy in self.store.tile_zxy[:2]]
        self.images = write_synthetic_images(folder / "images.h5", names)
        self.photos = folder / "photos.h5"
        turned = [PhotoRow(f"{n}.jpg", n, -n, 50.0 * n, 60.0, np.full((3, 32, 32), n, np.uint8)) for n in range(3)]
        write_photos(self.photos, turned, 32)
        self.labels, self.views = folder / "labels.h5", folder / "views.h5"
        columns = {
            "label": np.linspace(0, 1, N_TILES, dtype=np.float32),
            "eligible": np.arange(N_TILES) % 3 > 0,
            "kept": np.arange(N_TILES) % 2 > 0,
            "split": (np.arange(N_TILES) % 4).astype(np.uint8),
        }
        write_labels(self.labels, {"task": "t", "seed": np.int64(1), "split": "group", "buffer": np.uint8(0)}, columns)
        save_views(self.views, View.full(self.store), View.full(self.store).drop(tags=[1], pieces=[2]))

    def read(self, name: str, path: Path) -> None:
        """Reads all of a file of a kind."""
        readers: dict[str, Callable[[Path], object]] = {
            "processed": read_processed,
            "tiles": read_tiles,
            "tags": lambda path: open_features([path], self.store),
            "embeddings": self.read_embeddings,
            "images": lambda path: np.asarray(ImageStore(path).image).sum(),
            "photos": read_photos,
            "labels": lambda path: read_labels(path, N_TILES, 0, None),
            "views": lambda path: load_views([path], self.store),
        }
        readers[name](path)

    def read_embeddings(self, path: Path) -> None:
        """Reads an `embeddings.h5` as `knn` does."""
        found = Embeddings(path)
        found.check_source(self.store.regions[0])
        for column in ("tile/vector", "entity/vector"):
            found.check_vectors(column)
            assert found.statistics(column).count <= len(found[column])
        for row in range(found.n_entities):
            assert found.entity_ref(row) and found.tile_name(int(found["entity/tile"][row]))


def read_processed(path: Path) -> None:
    store = TileStore.open([path])
    view = View.full(store)
    batch = store.read(view, view.tiles, frozenset(Modality) - {Modality.IMAGE})
    assert batch.n_tokens == batch.cu_seqlens[-1] and bool((batch.osm_type < 3).all())
    for row in range(store.n_tiles):
        read_map(store.regions[0], row)
    View.default(store, 0, None)


def read_tiles(path: Path) -> None:
    region = RegionStore(path)
    assert len(region.keys) == len(region.values) == region.n_vocab and region.roles is not None
    region.check_geometry()


def read_photos(path: Path) -> None:
    store = PhotoStore(path)
    assert np.asarray(store.image).sum() >= 0 and all(isinstance(store.name(row), str) for row in range(len(store)))
    assert len(store.tiles(16)) == len(store)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("files"))


KINDS = ("processed", "tiles", "tags", "embeddings", "images", "photos", "labels", "views")


def columns_of(path: Path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[...]}) if isinstance(item, h5py.Dataset) else None)
    return found


def is_refused(files: Files, kind: str, path: Path) -> bool:
    """Returns whether a file is refused with a hint; every other error fails the test."""
    try:
        files.read(kind, path)
    except DataError as error:
        assert error.hint is None or str(error.hint).startswith("geojepa ")
        assert error.hint is not None or kind == "labels"  # the caller's hint, here None
        return True
    return False


@pytest.mark.parametrize("kind", KINDS)
def test_sound_files_are_read(files: Files, kind: str) -> None:
    assert not is_refused(files, kind, getattr(files, kind))


@pytest.mark.parametrize("kind", KINDS)
def test_a_column_of_another_type_or_length_is_refused(files: Files, kind: str, tmp_path: Path) -> None:
    whole = getattr(files, kind)
    for name, values in columns_of(whole).items():
        changes = {
            "text": np.array(["x"] * max(1, len(values)), object),
            "wider": values.astype(np.float64 if values.dtype.kind == "f" else np.int64),
            "shorter": values[:-1],
            "longer": np.concatenate([values, values[-1:]]),
            "flat": values.reshape(-1, 1, 1, 1, 1),
        }
        for change, changed in changes.items():
            if changed.dtype == values.dtype and changed.shape == values.shape:
                continue
            if (name, change) == ("role/text", "longer"):
                continue  # one more, empty role: a sound file
            copy = Path(shutil.copy(whole, tmp_path / "copy.h5"))
            with h5py.File(copy, "r+") as file:
                del file[name]
                file.create_dataset(name, data=changed, dtype=h5py.string_dtype() if change == "text" else None)
            assert is_refused(files, kind, copy), (name, change)
        copy = Path(shutil.copy(whole, tmp_path / "copy.h5"))
        with h5py.File(copy, "r+") as file:
            del file[name]
        assert is_refused(files, kind, copy), name


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_value_is_refused_or_read_without_a_crash(files: Files, kind: str, tmp_path: Path) -> None:
    whole, rng = getattr(files, kind), np.random.default_rng(1)
    for name, values in columns_of(whole).items():
        if values.size == 0:
            continue
        extremes = [np.nan, np.inf, -1.0] if values.dtype.kind == "f" else [0, 1, np.iinfo(values.dtype).max]
        for value in extremes:
            changed = values.copy()
            changed.reshape(-1)[int(rng.integers(values.size))] = value
            copy = Path(shutil.copy(whole, tmp_path / "copy.h5"))
            with h5py.File(copy, "r+") as file:
                file[name][...] = changed
            is_refused(files, kind, copy)


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bytes_and_cut_files_are_refused_or_read_without_a_crash(
    files: Files, kind: str, tmp_path: Path
) -> None:
    whole, rng = getattr(files, kind).read_bytes(), np.random.default_rng(2)
    head, refused = min(len(whole), 6000), 0
    copy = tmp_path / "copy.h5"
    for turn in range(120):
        data = bytearray(whole)
        for _ in range(1 + turn % 3):
            data[int(rng.integers(head if turn % 2 else len(data)))] = int(rng.integers(256))
        copy.write_bytes(data[: int(rng.integers(len(data)))] if turn % 10 == 9 else data)
        refused += is_refused(files, kind, copy)
    assert refused >= 12


@pytest.mark.parametrize("column", [name for name in COLUMNS if "vector" not in name and name != "entity/size"])
def test_a_changed_row_of_embeddings_is_refused(files: Files, tmp_path: Path, column: str) -> None:
    values = columns_of(files.embeddings)[column]
    for row in range(len(values)):
        copy = Path(shutil.copy(files.embeddings, tmp_path / "copy.h5"))
        with h5py.File(copy, "r+") as file:
            file[column][row] = values[row] ^ 1
        assert is_refused(files, "embeddings", copy), row


@pytest.mark.parametrize("column", ["tile/vector", "entity/vector", "entity/size"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_vector_or_size_that_is_not_finite_is_refused(
    files: Files, tmp_path: Path, column: str, value: float
) -> None:
    copy = Path(shutil.copy(files.embeddings, tmp_path / "copy.h5"))
    with h5py.File(copy, "r+") as file:
        file[column][-1] = value
    with pytest.raises(DataError, match="not finite") as error:
        files.read_embeddings(copy)
    assert str(error.value.hint) == "geojepa artifacts --verify"
