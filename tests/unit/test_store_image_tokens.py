"""Image tokens: read as rows of a batch, refused if damaged, and masked before the frozen encoder."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from synthetic_store import write_synthetic_image_tokens, write_synthetic_images
from training import config_of, same_weights, train_in, write_region

from geojepa_cli.config.modality import TAGS_ONLY, Modality
from geojepa_cli.config.schema import PretrainConfig
from geojepa_cli.errors import DataError, FeatureMismatchError, UsageError
from geojepa_cli.models.image_encoders import FrozenImageEncoder
from geojepa_cli.models.jepa.memory import activation_bytes
from geojepa_cli.models.jepa.pixels import hidden_cells, with_visible_pixels
from geojepa_cli.models.jepa.pretraining import build
from geojepa_cli.store.image_tokens import ImageTokenKind, write_image_tokens
from geojepa_cli.store.resident import ResidentTiles
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View
from geojepa_cli.train.data import TrainingData
from geojepa_cli.train.memory import estimate_memory

TOKENS = frozenset({Modality.TAGS, Modality.IMAGE_TOKENS})
BOTH = TOKENS | {Modality.IMAGE}
FROZEN = ("model.modalities=[tags, image]", "model.image_encoder=resnet50", "model.image_weights=random")
RANDOM = ImageTokenKind("resnet50", "random")


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_region(tmp_path_factory.mktemp("regions") / "oak@000000000000")
    zxy = TileStore.open([folder / "processed.h5"]).tile_zxy[::2].tolist()
    write_synthetic_images(folder / "images.h5", [tuple(tile) for tile in zxy[::-1]])
    write_synthetic_image_tokens(folder / "image_tokens.h5", len(zxy))
    return folder


def open_store(region: Path, tokens: Path | None = None) -> TileStore:
    tokens = tokens or region / "image_tokens.h5"
    return TileStore.open([region / "processed.h5"], [region / "images.h5"], image_tokens=[tokens])


def open_images(region: Path, config: PretrainConfig, encoder: FrozenImageEncoder | None = None) -> TrainingData:
    files = [region / "processed.h5"], [region / "tags.h5"], [region / "images.h5"]
    return TrainingData.open(config, *files, 0, None, [region / "image_tokens.h5"], encoder)


def test_a_batch_has_the_tokens_of_each_tile_with_an_image(region: Path) -> None:
    store = open_store(region)
    with h5py.File(region / "image_tokens.h5") as file, h5py.File(region / "images.h5") as images:
        stored = file["token"][:]
        place = {
            tuple(zxy): row for row, zxy in enumerate(zip(*(images[axis][:].tolist() for axis in "zxy"), strict=True))
        }
    view = View.full(store)
    for tiles in (view.tiles, view.tiles[::-1], view.tiles[[8, 3, 2]]):
        batch = store.read(view, tiles, TOKENS)
        shown = [i for i, zxy in enumerate(store.tile_zxy[tiles].tolist()) if tuple(zxy) in place]
        assert batch.images is None and batch.image_tiles.tolist() == shown
        rows = [place[tuple(store.tile_zxy[tiles[i]].tolist())] for i in shown]
        assert np.array_equal(batch.image_tokens.numpy(), stored[rows])
    assert store.read(view, view.tiles, TAGS_ONLY).image_tokens is None
    again = pickle.loads(pickle.dumps(store)).read(view, view.tiles, BOTH)
    assert torch.equal(again.image_tokens, store.read(view, view.tiles, TOKENS).image_tokens)
    assert again.images is not None and len(again.images) == len(again.image_tokens)


def test_a_region_without_images_has_no_tokens_and_the_other_keeps_its_own(region: Path) -> None:
    tokens = [region / "image_tokens.h5", None]
    paths, images = [region / "processed.h5"] * 2, [region / "images.h5", None]
    store = TileStore.open(paths, images, ["oak", "elm"], image_tokens=tokens)
    one = open_store(region)
    view, count = View.full(store), one.n_tiles
    batch = store.read(view, [count + 2, 2, count, 4], TOKENS)
    assert batch.image_tiles.tolist() == [1, 3]
    assert torch.equal(batch.image_tokens, one.read(View.full(one), [2, 4], TOKENS).image_tokens)
    assert store.read(view, [count, count + 1], TOKENS).image_tokens.shape == (0, 49, 2048)


def test_resident_tiles_have_the_same_tokens_and_their_size_is_estimated(region: Path) -> None:
    store = open_store(region)
    view = View.default(store, 1, None)
    resident = ResidentTiles(store, view, "cpu", BOTH)
    tiles = view.tiles[[5, 0, 7, 2]]
    found, expected = resident.read(tiles), store.read(view, tiles, BOTH)
    for name in ("images", "image_tokens", "image_tiles"):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name
    assert ResidentTiles.estimate_bytes(store, view, BOTH) == pytest.approx(resident.nbytes, rel=0.02)


def damaged(change: Callable[[h5py.File], None], source: Path, target: Path) -> Path:
    target.write_bytes(source.read_bytes())
    with h5py.File(target, "r+") as file:
        change(file)
    return target


def with_value(value: float) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file["token"][-1, -1, -1] = value

    return change


def replaced(array: np.ndarray, **how: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file["token"]
        file.create_dataset("token", data=array, **how)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_value(np.nan), "not finite"),
        (with_value(np.inf), "not finite"),
        (replaced(np.zeros((9, 49, 2048), np.float16)), r"shape \[9, 49, 2048\], expected \[75, 49, 2048\]"),
        (replaced(np.zeros((75, 50, 8), np.float16)), r"expected \[75, 49, 2048\]"),
        (replaced(np.zeros((2, 49, 8), np.float32)), "expected float16"),
        (replaced(np.zeros((2, 49, 8), np.float16), compression="gzip"), "not stored contiguously"),
        (lambda file: file.__delitem__("token"), "no column `token`"),
        (lambda file: file.attrs.__setitem__("schema_version", 99), "schema 99"),
        (lambda file: file.attrs.__setitem__("encoder", np.bytes_("alexnet")), "unknown image encoder"),
    ],
)
def test_a_damaged_file_is_refused(
    region: Path, tmp_path: Path, change: Callable[[h5py.File], None], message: str
) -> None:
    path = damaged(change, region / "image_tokens.h5", tmp_path / "image_tokens.h5")
    with pytest.raises(DataError, match=message) as caught:
        open_store(region, path)
    assert str(path) in caught.value.message and caught.value.hint is not None


@pytest.mark.parametrize("size", [0, 100, 3000])
def test_a_truncated_file_is_refused(region: Path, tmp_path: Path, size: int) -> None:
    path = tmp_path / "image_tokens.h5"
    path.write_bytes((region / "image_tokens.h5").read_bytes()[:size])
    with pytest.raises(DataError):
        open_store(region, path)


def test_regions_must_have_tokens_of_the_same_weights(region: Path, tmp_path: Path) -> None:
    other = write_synthetic_image_tokens(tmp_path / "other.h5", 75, version="sha256-0")
    with pytest.raises(DataError, match="as for the other regions"):
        TileStore.open(
            [region / "processed.h5"] * 2,
            [region / "images.h5"] * 2,
            image_tokens=[region / "image_tokens.h5", other],
        )


def test_values_that_float16_cannot_hold_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="float16"):
        write_image_tokens(tmp_path / "t.h5", 1, RANDOM, [np.full((1, 49, 2048), 1e6, np.float32)])
    with pytest.raises(ValueError, match="1 rows for column `token`, expected 2"):
        write_image_tokens(tmp_path / "t.h5", 2, RANDOM, [np.zeros((1, 49, 2048), np.float32)])


def test_tokens_of_other_weights_are_refused(region: Path) -> None:
    with pytest.raises(FeatureMismatchError, match="sha256-1"):
        open_images(region, config_of(*FROZEN, "model.image_version=sha256-1"))
    with pytest.raises(FeatureMismatchError, match="vit_b_16"):
        open_images(region, config_of(*FROZEN, "model.image_encoder=vit_b_16"))


def test_tiles_on_the_device_train_the_same_model(region: Path, tmp_path: Path) -> None:
    config = config_of(*FROZEN, "train.max_steps=2")
    data = open_images(region, config)
    first = train_in(tmp_path / "files", region, config, data=data)
    resident = data.to(torch.device("cpu"), free_bytes=10**9)
    assert resident.resident is not None
    assert same_weights(first.module, train_in(tmp_path / "resident", region, config, data=resident).module)
    projection = first.module.context_encoder.tokens.tokenizer.image.proj
    assert projection.weight.shape == (32, 2048)
    assert not any("network" in name for name in first.module.state_dict())


def test_the_estimated_memory_counts_the_tokens_and_the_encoder(region: Path) -> None:
    plain, frozen = config_of("model.modalities=[tags, image]"), config_of(*FROZEN)
    masked = config_of(*FROZEN, "masking.pixels=true")
    assert activation_bytes(plain, 1000) < activation_bytes(frozen, 1000) < activation_bytes(masked, 1000)
    encoder = FrozenImageEncoder(torch.nn.Linear(300, 1000), RANDOM)
    without, with_it = (estimate_memory(c, open_images(region, c, e)) for c, e in ((frozen, None), (masked, encoder)))
    assert with_it.weights - without.weights == 4 * (300 * 1000 + 1000)


class MeanColours(FrozenImageEncoder):
    """Tokens that depend on all pixels of an image, computed by other means than `resnet50`."""

    def __init__(self) -> None:
        super().__init__(torch.nn.Identity(), RANDOM)

    def _tokens(self, x: torch.Tensor) -> torch.Tensor:
        cells = torch.nn.functional.avg_pool2d(x, 32).flatten(2).transpose(1, 2)
        cells = cells + 3 * x.mean((2, 3))[:, None]
        return torch.nn.functional.pad(cells, (0, 2048 - 3))


def test_masked_pixels_cannot_change_what_the_context_sees(region: Path) -> None:
    config = config_of(*FROZEN, "masking.pixels=true")
    encoder = MeanColours()
    data = open_images(region, config, encoder)
    model = build(config, data.inputs, 0)
    assert model.needs == data.needs == BOTH
    batch = data.store.read(data.view, data.view.tiles[:24], data.needs)
    table = data.inputs.tag_table
    prepared = model.module.prepare(batch, table, model._rates, torch.Generator().manual_seed(3))
    hidden = hidden_cells(prepared, len(batch.images), whole=False)
    seen = set(prepared.masks.context_index.tolist())
    starts = prepared.places.cu_seqlens.tolist()
    for image, tile in enumerate(batch.image_tiles.tolist()):
        first = starts[tile] + int(batch.lengths[tile])  # the tokens of the image follow the entities of the tile
        assert hidden[image].tolist() == [first + cell not in seen for cell in range(49)]
    assert 0.2 < hidden.float().mean() < 1

    changed = batch.images.clone()
    for image in range(len(changed)):
        for cell in hidden[image].nonzero().flatten().tolist():
            row, column = divmod(cell, 7)
            changed[image, :, row * 32 : (row + 1) * 32, column * 32 : (column + 1) * 32] ^= 255
    other = replace(batch, images=changed)
    outputs = []
    for one in (batch, other):
        masked = with_visible_pixels(replace(prepared, tiles=one), one, encoder)
        assert masked.tiles.image_tokens is batch.image_tokens  # the target encoder reads stored tokens
        outputs.append(model.module(masked, table))
    assert torch.equal(outputs[0].context, outputs[1].context)
    assert torch.equal(outputs[0].target, outputs[1].target)
    unmasked = [encoder(x.images).half() for x in (batch, other)]
    assert not torch.allclose(*unmasked)
    losses = model.prepare(batch, torch.Generator().manual_seed(3))()
    assert bool(losses.loss.isfinite())


def test_pixels_can_only_be_masked_before_a_frozen_encoder() -> None:
    with pytest.raises(UsageError, match="no frozen image encoder") as caught:
        config_of("model.modalities=[tags, image]", "masking.pixels=true")
    assert "masking.pixels=false" in str(caught.value.hint)
