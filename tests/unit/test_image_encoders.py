"""Frozen image encoders: tokens equal those of torchvision, and weights are read from files that run no code."""

from __future__ import annotations

import os
import pickle
import shlex
import sys
from pathlib import Path
from urllib.parse import urlsplit

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from synthetic_store import write_synthetic_images
from torch import Tensor, nn

from geojepa_cli import hints
from geojepa_cli.config.images import ENCODER_PARAMETERS, FROZEN_ENCODERS, RANDOM, TORCHVISION
from geojepa_cli.errors import DataError, GeojepaError, MissingExtraError, NotFoundError
from geojepa_cli.hints import Invocation
from geojepa_cli.models import image_encoders, image_weights
from geojepa_cli.models.image_encoders import FrozenImageEncoder, load_image_encoder, write_region_tokens
from geojepa_cli.models.image_networks import empty_network
from geojepa_cli.models.image_weights import cached_weights, find_weights, read_state, weights_version
from geojepa_cli.nn.tokens.image import FrozenForm, frozen_boxes
from geojepa_cli.store.image_tokens import ImageTokenKind, ImageTokenStore
from geojepa_cli.tags.torchvision_ops import register_torchvision_ops

register_torchvision_ops()
torchvision = pytest.importorskip("torchvision")
ENCODERS = sorted(TORCHVISION)
LAYER = {"vit_b_16": "encoder.ln", "resnet50": "layer4", "efficientnet_b0": "features"}
FROM_FILE = hints.run("process", image_weights="FILE")


def network_of(name: str, seed: int = 5) -> nn.Module:
    """A network of torchvision with random weights and its classifier."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = torchvision.models.get_model(name, weights=None, num_classes=7)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0  # statistics of one batch, so that values are not near zero
        with torch.no_grad():
            network(torch.randn(4, 3, 224, 224))
        return network.eval()


def pixels(count: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (count, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def normalised(images: Tensor) -> Tensor:
    scaled = torchvision.transforms.functional.convert_image_dtype(images, torch.float32)
    return torchvision.transforms.functional.normalize(scaled, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def direct_tokens(network: nn.Module, name: str, images: Tensor) -> Tensor:
    """Tokens by torchvision's own feature extraction."""
    from torchvision.models.feature_extraction import create_feature_extractor

    with torch.no_grad():
        found = create_feature_extractor(network, {LAYER[name]: "x"})(normalised(images))["x"]
    return found if name == "vit_b_16" else torch.stack([x.permute(1, 2, 0).reshape(-1, x.shape[0]) for x in found])


@pytest.fixture(scope="module", params=ENCODERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def encoder(name: str) -> FrozenImageEncoder:
    """An encoder of random weights."""
    return random_encoder(name)


@pytest.mark.parametrize(
    ("name", "suffix"), [("vit_b_16", ".pth"), ("resnet50", ".safetensors"), ("efficientnet_b0", ".pth")]
)
def test_stored_tokens_equal_those_of_torchvision(
    name: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, weights = network_of(name), tmp_path / f"weights{suffix}"
    torch.save(network.state_dict(), weights) if suffix == ".pth" else save_file(network.state_dict(), weights)
    tiles = [(16, x, 1) for x in range(3)]
    images = write_synthetic_images(tmp_path / "images.h5", tiles, seed=3)
    kind = ImageTokenKind(name, weights_version(name, weights, FROM_FILE))
    monkeypatch.setattr(image_encoders, "MAX_IMAGES", 2)
    for threads in (1, 3):
        target = tmp_path / f"{threads}.h5"
        counts = write_region_tokens(images, target, load_image_encoder(kind, weights), threads)
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "3.h5").read_bytes()
    store = ImageTokenStore(tmp_path / "1.h5", 3, "oak")
    assert store.kind == kind and counts == {"images": 3, "tokens": 3 * FROZEN_ENCODERS[name].tokens}
    with h5py.File(images) as file:
        expected = direct_tokens(network, name, torch.from_numpy(file["image"][:]))
    assert store.token.shape == tuple(expected.shape)
    np.testing.assert_allclose(store.token, expected.numpy(), rtol=2e-3, atol=2e-3 * float(expected.abs().max()))
    column = h5py.File(tmp_path / "1.h5")["token"]
    assert column.id.get_offset() % 64 == 0 and column.chunks is None


def test_the_classifier_of_the_network_reads_the_tokens(name: str, tmp_path: Path) -> None:
    network, images = network_of(name), pixels(2)
    torch.save(network.state_dict(), tmp_path / "w.pth")
    tokens = load_image_encoder(ImageTokenKind(name, "sha256-0"), tmp_path / "w.pth")(images)
    head = {"vit_b_16": "heads", "resnet50": "fc", "efficientnet_b0": "classifier"}[name]
    pooled = tokens[:, 0] if name == "vit_b_16" else tokens.mean(1)
    with torch.no_grad():
        torch.testing.assert_close(getattr(network, head)(pooled), network(normalised(images)), rtol=1e-3, atol=1e-4)


def random_encoder(name: str) -> FrozenImageEncoder:
    return load_image_encoder(ImageTokenKind(name, RANDOM), None)


def test_tokens_of_random_weights_differ_between_images_and_cells(encoder: FrozenImageEncoder) -> None:
    tokens = encoder(pixels(3)).half()
    assert bool(tokens.isfinite().all()) and float(tokens.std()) > 0.05
    assert float((tokens[0] - tokens[1]).std()) > 0.02 and float(tokens[0].std(0).mean()) > 0.02


def test_random_weights_are_always_the_same_and_leave_the_generator_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first = random_encoder("resnet50")
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(2)
    second = random_encoder("resnet50")
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert not any(parameter.requires_grad for parameter in first.parameters())


def test_boxes_are_the_squares_of_the_cells_from_the_north_west(name: str) -> None:
    form = FROZEN_ENCODERS[name]
    boxes = frozen_boxes(FrozenForm(*form)).double()
    assert boxes.shape == (form.tokens, 8)
    if form.whole:
        assert boxes[0].tolist() == [0, 0, 1, 0, 1, 1, 0, 1]
        boxes = boxes[1:]
    corners = boxes.view(form.grid, form.grid, 4, 2)
    for row in range(form.grid):
        for column in range(form.grid):
            west, north = column / form.grid, 1 - row / form.grid
            east, south = (column + 1) / form.grid, 1 - (row + 1) / form.grid
            expected = [[west, south], [east, south], [east, north], [west, north]]
            np.testing.assert_allclose(corners[row, column].numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(("x", "y"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_pixels_change_the_tokens_of_their_quarter_most(name: str, encoder: FrozenImageEncoder, x: int, y: int) -> None:
    form, images = FROZEN_ENCODERS[name], pixels(1) // 2
    changed = images.clone()
    changed[:, :, y * 112 + 16 : y * 112 + 96, x * 112 + 16 : x * 112 + 96] += 3
    moved = (encoder(changed) - encoder(images)).square().sum(-1)[0, int(form.whole) :]
    centres = frozen_boxes(FrozenForm(*form))[int(form.whole) :].view(-1, 4, 2).mean(1)
    quarters = {(0, 0): [], (1, 0): [], (0, 1): [], (1, 1): []}
    for centre, change in zip(centres.tolist(), moved.tolist(), strict=True):
        if centre[0] < 0.49 or centre[0] > 0.51:
            quarters[int(centre[0] > 0.5), int(centre[1] < 0.5)].append(change)
    means = {quarter: sum(changes) / len(changes) for quarter, changes in quarters.items()}
    assert max(means, key=lambda quarter: means[quarter]) == (x, y), means


def test_tokens_of_visible_cells_do_not_depend_on_hidden_pixels(name: str, encoder: FrozenImageEncoder) -> None:
    form = FROZEN_ENCODERS[name]
    first, second = pixels(2, seed=1), pixels(2, seed=2)
    hidden = torch.rand(2, form.grid**2, generator=torch.Generator().manual_seed(0)) < 0.5
    hidden[1] = False
    side = 224 // form.grid
    for image in range(2):
        for cell in range(form.grid**2):
            if not hidden[image, cell]:
                row, column = divmod(cell, form.grid)
                square = slice(row * side, (row + 1) * side), slice(column * side, (column + 1) * side)
                second[image, :, square[0], square[1]] = first[image, :, square[0], square[1]]
    whole, masked = encoder(first), encoder(first, hidden)
    assert torch.equal(masked, encoder(second, hidden))
    assert not torch.allclose(whole[0], encoder(second)[0], atol=1e-3)
    assert not torch.allclose(whole[0], masked[0], atol=1e-3)
    torch.testing.assert_close(masked[1], whole[1])


@pytest.fixture
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


def test_missing_weights_are_named_with_both_ways_to_get_them(
    name: str, no_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotFoundError) as caught:
        find_weights(name, FROM_FILE)
    assert str(no_cache) in caught.value.message and "model.image_weights" in caught.value.message
    hint = str(caught.value.hint)
    download, _, from_file = hint.partition("  # or: ")
    *python, code = shlex.split(download)
    assert python == ["python", "-c"] and "--image-weights FILE" in from_file
    fetched: list[str] = []
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda url, **options: fetched.append(url))
    exec(compile(code, "hint", "exec"), {})
    assert fetched == [torchvision.models.get_model_weights(name).DEFAULT.url]
    assert "torchvision" not in code and cached_weights(name) == no_cache / Path(urlsplit(fetched[0]).path).name
    with pytest.raises(NotFoundError, match="do not exist"):
        weights_version(name, Path("nowhere.pth"), FROM_FILE)


def test_weights_in_the_cache_of_torchvision_are_compared_with_the_digits_in_their_name(
    no_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = cached_weights("resnet50")
    assert path.parent == no_cache and path.name.startswith("resnet50-")
    no_cache.mkdir(parents=True)
    path.write_bytes(b"cut off")
    assert find_weights("resnet50", FROM_FILE) == path
    with pytest.raises(DataError, match="is damaged"):
        weights_version("resnet50", path, FROM_FILE)
    torch.save(network_of("resnet50").state_dict(), path)
    digest = image_weights.file_sha256(path)
    whole = path.rename(no_cache / f"resnet50-{digest[:8]}.pth")
    monkeypatch.setattr(image_weights, "cached_weights", lambda encoder: whole)
    assert weights_version("resnet50", whole, FROM_FILE) == f"sha256-{digest[:12]}"


class Attack:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.mark),)


def test_a_file_with_code_is_refused_and_the_code_does_not_run(tmp_path: Path) -> None:
    weights, mark = tmp_path / "w.pth", tmp_path / "mark"
    torch.save({"conv1.weight": Attack(mark)}, weights)
    with pytest.raises(DataError, match="not a state dict"):
        load_image_encoder(ImageTokenKind("resnet50", "sha256-0"), weights)
    weights.write_bytes(pickle.dumps(Attack(mark)))
    with pytest.raises(DataError, match="not a state dict"):
        load_image_encoder(ImageTokenKind("resnet50", "sha256-0"), weights)
    assert not mark.exists()


@pytest.mark.parametrize("file", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"garbage" * 100, b"PK\x03\x04" + bytes(200)])
def test_a_damaged_file_is_refused(tmp_path: Path, file: str, content: bytes) -> None:
    (tmp_path / file).write_bytes(content)
    with pytest.raises(DataError, match=file) as caught:
        load_image_encoder(ImageTokenKind("resnet50", "sha256-0"), tmp_path / file)
    assert "weights_only" not in caught.value.message


@pytest.mark.parametrize(
    ("command", "name", "value"),
    [("process", "--image-weights", ""), ("pretrain", "--set", "model.image_weights="), ("probe", "--model", "r=")],
)
def test_the_hint_for_a_garbage_file_repeats_the_command_with_another_file(
    tmp_path: Path, command: str, name: str, value: str
) -> None:
    (path := tmp_path / "w.pt").write_bytes(b"garbage" * 100)
    failed = Invocation(command, ((name, f"{value}{path}"),))
    with hints.invocation(failed), pytest.raises(DataError) as caught:
        read_state(path)
    assert caught.value.hint and f"geojepa {command} {name} {value}FILE  # a" in str(
        caught.value.hint.completed(failed)
    )


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save(network_of("efficientnet_b0").state_dict(), tmp_path / "w.pth")
    with pytest.raises(DataError, match="no weights of the image encoder `resnet50`"):
        load_image_encoder(ImageTokenKind("resnet50", "sha256-0"), tmp_path / "w.pth")
    torch.save([torch.zeros(2)], tmp_path / "w.pth")
    with pytest.raises(DataError, match="expected tensors by name"):
        load_image_encoder(ImageTokenKind("resnet50", "sha256-0"), tmp_path / "w.pth")


def test_without_torchvision_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    for call in (lambda: find_weights("resnet50", FROM_FILE), lambda: random_encoder("resnet50")):
        with pytest.raises(MissingExtraError, match="torchvision") as caught:
            call()
        assert isinstance(caught.value, GeojepaError) and "pip install torchvision" in str(caught.value.hint)


@pytest.mark.parametrize("name", sorted(FROZEN_ENCODERS))
def test_numbers_of_parameters_in_reports_are_those_of_the_networks(name: str) -> None:
    with torch.device("meta"):
        network = empty_network(name)
    assert ENCODER_PARAMETERS[name] == sum(parameter.numel() for parameter in network.parameters())
