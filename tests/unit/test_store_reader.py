"""Opening files: errors of damaged, foreign and older ones; names and groups of a dataset."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from synthetic_store import write_synthetic_features, write_synthetic_images, write_synthetic_processed

from geojepa_cli.config.modality import Modality
from geojepa_cli.errors import DataError, NotFoundError, UsageError
from geojepa_cli.store import schema
from geojepa_cli.store.features import open_features
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_synthetic_processed(tmp_path / "oak@1f" / "processed.h5", seed=5, n_tiles=20)


@pytest.mark.parametrize("kind", ["tiles", "processed"])
@pytest.mark.parametrize("empty", [False, True])
def test_every_column_equals_what_h5py_reads(tmp_path: Path, kind: str, empty: bool) -> None:
    path = write_synthetic_processed(tmp_path / "oak@1" / f"{kind}.h5", kind=kind, empty=empty)
    region = RegionStore(path)
    assert (region.name, region.kind, region.zoom) == ("oak", kind, 16)
    with h5py.File(path) as file:
        for name, column in schema.COLUMNS.items():
            assert (name in region) == (kind in column.files)
            if name in region:
                assert np.array_equal(region[name], file[name][...])
                assert not region[name].flags.writeable or empty or region[name].size == 0


def test_strings_keep_their_accents_and_may_be_empty(path: Path) -> None:
    region = RegionStore(path)
    assert {"Straße", "Main Street", ""} <= {v for k, v in zip(region.keys, region.values, strict=True) if k == "name"}
    assert region.roles == ["", "inner", "outer"]
    rows = [3, 0]
    assert region.string_rows("vocab/value", rows) == [region.values[row] for row in rows]


def test_another_schema_is_refused_with_the_command_that_makes_the_file_again(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file.attrs["schema_version"] = np.uint32(schema.VERSION + 1)
    with pytest.raises(
        DataError, match=f"has schema {schema.VERSION + 1}, this version reads {schema.VERSION}"
    ) as error:
        RegionStore(path)
    assert str(error.value.hint) == "geojepa process --region oak"


@pytest.mark.parametrize("column", ["piece/box_side", "tag/vocab", "vocab/key_utf8", "tile/pieces"])
def test_a_missing_column_is_named(path: Path, column: str) -> None:
    with h5py.File(path, "a") as file:
        del file[column]
    with pytest.raises(DataError, match=column):
        RegionStore(path)


def test_a_column_of_another_type_length_or_storage_is_refused(path: Path, tmp_path: Path) -> None:
    with h5py.File(path) as file:
        kinds = file["object/kind"][...]
    changes = {"type": kinds.astype(np.int32), "length": kinds[:-1], "width": np.stack([kinds, kinds], 1)}
    for name, values in changes.items():
        copy = Path(shutil.copy(path, tmp_path / name))
        with h5py.File(copy, "a") as file:
            del file["object/kind"]
            file["object/kind"] = values
        with pytest.raises(DataError, match="object/kind"):
            RegionStore(copy)
    with h5py.File(path, "a") as file:
        del file["object/kind"]
        file.create_dataset("object/kind", data=kinds, compression="gzip")
    with pytest.raises(DataError, match="not stored contiguously"):
        RegionStore(path)


def test_offsets_that_end_past_their_table_are_refused(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file["piece/parts"][-1] += 1
    with pytest.raises(DataError, match="piece/parts"):
        RegionStore(path)


def test_no_file_an_html_page_and_a_truncated_file_are_refused(path: Path, tmp_path: Path) -> None:
    (tmp_path / "page.h5").write_text("<html></html>")
    cut = tmp_path / "cut.h5"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    for broken in (tmp_path / "absent.h5", tmp_path / "page.h5", cut):
        with pytest.raises(DataError) as error:
            RegionStore(broken)
        assert str(broken) in error.value.message and error.value.hint is not None


@pytest.mark.parametrize(
    "column",
    [
        "tile/pieces",
        "object/tags",
        "piece/object",
        "tag/vocab",
        "vocab/key",
        "piece/parts",
        "piece/edges",
        "part/nodes",
    ],
)
def test_a_row_number_that_is_too_large_is_refused_before_it_is_used(path: Path, column: str) -> None:
    with h5py.File(path, "a") as file:
        file[column][len(file[column]) // 2] = 0xFFFFFF
    with pytest.raises(DataError, match=f"is damaged: `{column}`") as error:
        store = TileStore.open([path])
        view = View.full(store)
        store.read(view, view.tiles, frozenset({Modality.NODES}))
    assert str(error.value.hint) == "geojepa artifacts --verify"


def test_a_tiles_file_is_no_dataset_for_models(tmp_path: Path) -> None:
    path = write_synthetic_processed(tmp_path / "oak@1" / "tiles.h5", kind="tiles")
    with pytest.raises(DataError, match="expected a `processed` file"):
        TileStore.open([path])


def test_tiles_are_found_by_name_and_the_error_of_a_wrong_name_has_the_nearest_on_the_ground(path: Path) -> None:
    store = TileStore.open([path, path])
    row = 7
    name = store.tile_names([row])[0]
    assert store.tile_row(name) == row and store.tile_rows(name).tolist() == [row, 20 + row]
    x, y = store.tile_zxy[:, 1].max(), store.tile_zxy[store.tile_zxy[:, 1].argmax(), 2]
    with pytest.raises(NotFoundError, match=f"the nearest tile of the dataset is `16_{x}_{y}`"):
        store.tile_row(f"16_{x + 9}_{y}")
    with pytest.raises(NotFoundError, match="zoom 16"):
        store.tile_row("15_1_1")
    with pytest.raises(UsageError, match="is not the name of a tile"):
        store.tile_row("charlotte")


def test_groups_are_the_zoom_14_parents_and_equal_across_regions(path: Path) -> None:
    store = TileStore.open([path, path])
    expected = [f"14_{x // 4}_{y // 4}" for _, x, y in store.tile_zxy.tolist()]
    assert store.group_names() == expected
    assert np.array_equal(store.groups[:20], store.groups[20:])
    assert len(set(store.groups.tolist())) == len(set(expected)) > 1


def test_another_process_opens_the_same_files_again(path: Path) -> None:
    store = TileStore.open([path])
    assert len(pickle.dumps(store)) < 1000
    assert pickle.loads(pickle.dumps(store)).tile_names() == store.tile_names()


def test_features_of_another_vocabulary_or_of_mixed_encoders_are_refused(path: Path, tmp_path: Path) -> None:
    store = TileStore.open([path, path])
    n = store.regions[0].n_vocab
    good = write_synthetic_features(tmp_path / "good.h5", n)
    short = write_synthetic_features(tmp_path / "short.h5", n - 1)
    other = write_synthetic_features(tmp_path / "other.h5", n, encoder="another")
    assert open_features([good, good], store).table.shape == (2 * n, 384)
    with pytest.raises(DataError, match=f"{n - 1} tags"):
        open_features([good, short], store)
    with pytest.raises(DataError, match="another"):
        open_features([good, other], store)


def test_images_of_another_schema_or_size_are_refused(tmp_path: Path) -> None:
    from geojepa_cli.store.images import ImageStore

    path = write_synthetic_images(tmp_path / "images.h5", [(16, 3, 4)])
    with h5py.File(path, "a") as file:
        del file["image"]
        file["image"] = np.zeros((1, 3, 10, 10), np.uint8)
    with pytest.raises(DataError, match="expected"):
        ImageStore(path)


def test_versions_of_pieces_are_those_of_their_objects(path: Path, tmp_path: Path) -> None:
    other = write_synthetic_processed(tmp_path / "elm@1" / "processed.h5", seed=6, n_tiles=9)
    store = TileStore.open([path, other])
    pieces = [store.n_pieces - 1, 0, 3, store.n_pieces - 1]
    found = []
    for piece in pieces:
        region = store.regions[int(piece >= store.piece_offsets[1])]
        first = int(store.piece_offsets[1]) if piece >= store.piece_offsets[1] else 0
        found.append(int(region["object/osm_id"][region["piece/object"][piece - first]]) % 9)
    assert store.piece_versions(pieces).tolist() == found
