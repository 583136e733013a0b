"""The image encoder `scalemae`: its position encoding is that of the paper, and its layers are those of torchvision."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from pyproj import Geod
from safetensors.torch import save_file
from torch import Tensor

from geojepa_cli import hints
from geojepa_cli.errors import DataError, NotFoundError
from geojepa_cli.grid import tile_bounds
from geojepa_cli.models import image_networks
from geojepa_cli.models.image_encoders import load_image_encoder
from geojepa_cli.models.image_weights import find_weights
from geojepa_cli.models.scalemae import ScaleMaeNetwork, ScaleMaeSizes, encoder_weights, metres_per_px, scaled_positions
from geojepa_cli.store.image_tokens import ImageTokenKind
from geojepa_cli.tags.torchvision_ops import register_torchvision_ops

register_torchvision_ops()
torchvision = pytest.importorskip("torchvision")
SMALL = ScaleMaeSizes(embed_dim=16, depth=2, num_heads=4, patch_px=16, mlp_ratio=2)
KIND = ImageTokenKind("scalemae", "sha256-0")


def published_state(sizes: ScaleMaeSizes, seed: int = 0) -> dict[str, Tensor]:
    """Random weights with the names and shapes of the published file, decoder and classifier included."""
    rng, width, hidden = torch.Generator().manual_seed(seed), sizes.embed_dim, sizes.mlp_ratio * sizes.embed_dim
    shapes: dict[str, tuple[int, ...]] = {"cls_token": (1, 1, width), "pos_embed": (1, 197, width)}
    shapes |= {"patch_embed.proj.weight": (width, 3, 16, 16), "patch_embed.proj.bias": (width,)}
    for block in range(sizes.depth):
        for name, rows, columns in (
            ("attn.qkv", 3 * width, width),
            ("attn.proj", width, width),
            ("mlp.fc1", hidden, width),
            ("mlp.fc2", width, hidden),
        ):
            shapes |= {f"blocks.{block}.{name}.weight": (rows, columns), f"blocks.{block}.{name}.bias": (rows,)}
        for name in ("norm1", "norm2"):
            shapes |= {f"blocks.{block}.{name}.{part}": (width,) for part in ("weight", "bias")}
    shapes |= {"norm.weight": (width,), "norm.bias": (width,), "head.weight": (7, width), "head.bias": (7,)}
    shapes |= {"decoder_embed.weight": (8, width), "mask_token": (1, 1, 8), "mask_token_decoder": (1, 1, 8)}
    shapes |= {"decoder_blocks.0.attn.qkv.weight": (24, 8), "fpn.fpn1.0.weight": (8, 8, 2, 2), "fcn_high.0.bias": (3,)}
    return {name: 0.3 * torch.randn(shape, generator=rng) for name, shape in shapes.items()}


def test_the_position_encoding_is_that_of_the_paper() -> None:
    width, grid = 16, 3
    found = scaled_positions(torch.tensor([2.0, 0.6]), grid, width)
    for image, metres in enumerate((2.0, 0.6)):
        for row in range(grid):
            for column in range(grid):
                expected = []
                for position in (column, row):  # columns first, as in the published code
                    angles = [metres / 1.0 * position / 10000 ** (2 * i / (width / 2)) for i in range(width // 4)]
                    expected += [math.sin(angle) for angle in angles] + [math.cos(angle) for angle in angles]
                np.testing.assert_allclose(found[image, row * grid + column].numpy(), expected, atol=1e-6)


def test_the_resolution_is_the_true_ground_size_of_the_tile() -> None:
    tiles = [(16, 10487, 25327), (16, 36052, 19268), (14, 4513, 6489)]
    found = metres_per_px(torch.tensor(tiles))
    for tile, metres in zip(tiles, found.tolist(), strict=True):
        west, south, east, _ = tile_bounds(*tile)
        _, _, length = Geod(ellps="WGS84").inv(west, south, east, south)
        assert metres == pytest.approx(length / 224, rel=1e-5)
    assert found[0] == pytest.approx(2.16, abs=0.01)  # San Francisco


def test_the_layers_are_those_of_the_vision_transformer_of_torchvision() -> None:
    state = published_state(SMALL)
    network = ScaleMaeNetwork(SMALL)
    network.load_state_dict(encoder_weights(state))
    width, x = SMALL.embed_dim, torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    peer = torchvision.models.VisionTransformer(224, 16, SMALL.depth, SMALL.num_heads, width, 2 * width).eval()
    names = {"norm1": "ln_1", "norm2": "ln_2", "attn.proj": "self_attention.out_proj", "mlp.fc1": "mlp.0"}
    names |= {"mlp.fc2": "mlp.3", "attn.qkv": "self_attention.in_proj"}
    given = {"class_token": state["cls_token"]}
    given |= {f"conv_proj.{part}": state[f"patch_embed.proj.{part}"] for part in ("weight", "bias")}
    given |= {f"encoder.ln.{part}": state[f"norm.{part}"] for part in ("weight", "bias")}
    for block in range(SMALL.depth):
        for name, other in names.items():
            for part in ("weight", "bias"):
                joint = "_" if name == "attn.qkv" else "."
                target = f"encoder.layers.encoder_layer_{block}.{other}{joint}{part}"
                given[target] = state[f"blocks.{block}.{name}.{part}"]
    resolution = torch.tensor([2.16, 1.4])
    for image in range(2):
        places = scaled_positions(resolution[image : image + 1], 14, width)
        given["encoder.pos_embedding"] = torch.cat([torch.zeros(1, 1, width), places], 1)
        peer.load_state_dict(given | {name: x for name, x in peer.state_dict().items() if name.startswith("heads")})
        with torch.no_grad():
            patches = peer._process_input(x[image : image + 1])
            expected = peer.encoder(torch.cat([peer.class_token, patches], dim=1))
            torch.testing.assert_close(network(x, resolution)[image : image + 1], expected, rtol=1e-4, atol=1e-4)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of `scalemae` are small."""
    monkeypatch.setattr(image_networks, "ScaleMaeNetwork", lambda: ScaleMaeNetwork(SMALL))


@pytest.mark.parametrize("prefix", ["", "model."])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_of_the_published_layout_is_read(small: None, tmp_path: Path, suffix: str, prefix: str) -> None:
    state = published_state(SMALL)
    given = {f"{prefix}{name}": x for name, x in state.items()}
    path = tmp_path / f"w{suffix}"
    save_file(given, path) if suffix == ".safetensors" else torch.save(given, path)
    loaded = load_image_encoder(KIND, path).network.state_dict()
    unused = {name for name in state if name.split(".")[0].startswith(("decoder", "mask", "fpn", "fcn", "head", "pos"))}
    assert set(loaded) == set(state) - unused
    assert all(torch.equal(loaded[name], state[name]) for name in loaded)


def test_a_file_of_another_layout_is_refused_with_the_names_of_missing_weights(small: None, tmp_path: Path) -> None:
    state = published_state(SMALL)
    kept = {name: x for name, x in state.items() if not name.startswith(("norm", "blocks.1.attn"))}
    save_file(kept | {"fc_norm.weight": torch.ones(16)}, tmp_path / "w.safetensors")
    with pytest.raises(DataError) as caught:
        load_image_encoder(KIND, tmp_path / "w.safetensors")
    message = caught.value.message
    for name in ("norm.weight", "blocks.1.attn.qkv.weight", "blocks.1.attn.proj.bias", "unknown `fc_norm.weight`"):
        assert name in message
    assert "and 1 more (of" in message
    save_file(state | {"norm.bias": torch.ones(5)}, tmp_path / "w.safetensors")
    with pytest.raises(DataError, match=r"`norm.bias` has the shape \[5\], expected \[16\]"):
        load_image_encoder(KIND, tmp_path / "w.safetensors")


def test_tokens_depend_on_the_resolution_and_weights_need_a_file() -> None:
    network = ScaleMaeNetwork(SMALL)
    network.load_state_dict(encoder_weights(published_state(SMALL)))
    x = torch.randn(1, 3, 64, 64).expand(2, -1, -1, -1)
    with torch.no_grad():
        near, far = network(x, torch.tensor([0.6, 2.2]))
    assert near.shape == (17, 16) and not torch.allclose(near, far, atol=1e-3)
    with pytest.raises(NotFoundError, match="expected a file") as caught:
        find_weights("scalemae", hints.run("process", image_encoder="scalemae", image_weights="FILE"))
    assert "--image-weights FILE" in str(caught.value.hint)


def test_the_full_network_has_the_size_of_vit_large() -> None:
    with torch.device("meta"):
        network = ScaleMaeNetwork()
    assert round(sum(x.numel() for x in network.parameters()) / 1e6) == 303
