"""Reading a map of image features at any point, against convolution, bilinear sampling and written-out sums."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from geojepa_cli.nn.inr import DECODERS, Decoder, LocalInterpolation, find_corners

D, E, H, W, N = 5, 7, 6, 9, 3
READING: tuple[Decoder, ...] = ("mlp", "linear", "bilinear")


def module_of(decoder: Decoder, seed: int = 0, dim: int = D, out: int = E) -> LocalInterpolation:
    torch.manual_seed(seed)
    return LocalInterpolation(dim, out, decoder, hidden_dim=11).double()


def inputs(points: int, seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    features = torch.randn(N, D, H, W, generator=rng, dtype=torch.float64)
    uv = torch.rand(points, 2, generator=rng, dtype=torch.float64)
    return features, uv, torch.randint(N, (points,), generator=rng)


def sampled(maps: Tensor, uv: Tensor, image: Tensor) -> Tensor:
    """Bilinear sampling by PyTorch, with the border cells continued. [N, E, h, w] -> [Q, E]"""
    grid = (2.0 * uv - 1.0)[:, None, None]  # x before y, from −1 to 1
    found = F.grid_sample(maps[image], grid, mode="bilinear", padding_mode="border", align_corners=False)
    return found[:, :, 0, 0]


def overhang(uv: Tensor) -> Tensor:
    """Distance (east, south) by which points lie beyond the centres of the border cells, in half cells. [Q, 2]"""
    place = uv * torch.tensor([W, H]) - 0.5
    return 2.0 * (place - place.clamp_min(0).minimum(torch.tensor([W - 1, H - 1])))


@pytest.mark.parametrize("points", [10, 400])  # fewer and more than a fourth of the cells
def test_the_linear_decoder_is_a_convolution_with_bilinear_sampling_and_the_overhang(points: int) -> None:
    module = module_of("linear")
    features, uv, image = inputs(points)
    uv[:4] = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.02, 0.5], [0.5, 0.99]])
    kernel = module.proj.weight[:, : 9 * D].view(E, D, 3, 3)
    maps = F.conv2d(F.pad(features, (1, 1, 1, 1), mode="replicate"), kernel, module.proj.bias)
    expected = sampled(maps, uv, image) + overhang(uv) @ module.proj.weight[:, 9 * D :].t()
    torch.testing.assert_close(module(features, uv, image), expected, atol=1e-5, rtol=0)
    assert not torch.allclose(expected, sampled(maps, uv, image), atol=0.01)  # the overhang counts


@pytest.mark.parametrize("points", [10, 400])
def test_the_mlp_decoder_equals_a_loop_over_points_and_cells(points: int) -> None:
    module = module_of("mlp")
    features, uv, image = inputs(points)
    found = module(features, uv, image)
    for query in range(0, points, 7):
        x, y = float(uv[query, 0]) * W - 0.5, float(uv[query, 1]) * H - 0.5
        total = torch.zeros(E, dtype=torch.float64)
        for row in (int(np.floor(y)), int(np.floor(y)) + 1):
            for column in (int(np.floor(x)), int(np.floor(x)) + 1):
                share = (1 - abs(x - column)) * (1 - abs(y - row))
                i, j = min(max(row, 0), H - 1), min(max(column, 0), W - 1)
                rows = [min(max(i + step, 0), H - 1) for step in (-1, 0, 1)]
                columns = [min(max(j + step, 0), W - 1) for step in (-1, 0, 1)]
                near = features[image[query]][:, rows][:, :, columns].flatten()
                offset = torch.tensor([2 * (x - j), 2 * (y - i)], dtype=torch.float64)
                total += share * module.out(F.gelu(module.proj(torch.cat([near, offset]))))
        torch.testing.assert_close(found[query], total)


def test_bilinear_nearest_centre_and_mean_equal_their_definitions() -> None:
    features, uv, image = inputs(60)
    cells = features.permute(0, 2, 3, 1)
    column, row = (uv * torch.tensor([W, H])).long().t()
    expected = {
        "bilinear": sampled(features, uv, image),
        "nearest": cells[image, row, column],
        "centre": sampled(features, torch.full_like(uv, 0.5), image),
        "mean": features.mean((2, 3))[image],
    }
    for decoder, read in expected.items():
        module = module_of(decoder)  # type: ignore[arg-type]
        torch.testing.assert_close(module(features, uv, image), module.proj(read))


def test_the_weights_of_a_point_add_up_to_one() -> None:
    _, uv, image = inputs(500)
    uv[:3] = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    corners = find_corners(uv, image, H, W)
    torch.testing.assert_close(corners.weight.sum(0), torch.ones(500, dtype=torch.float64))
    assert float(corners.weight.min()) >= 0


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_map_of_equal_cells_gives_the_same_vector_everywhere_inside(decoder: Decoder) -> None:
    module = module_of(decoder)
    features = torch.randn(1, D, 1, 1, dtype=torch.float64).expand(1, D, H, W)
    rng = torch.Generator().manual_seed(3)
    inner = torch.rand(50, 2, generator=rng, dtype=torch.float64) * torch.tensor([(W - 1) / W, (H - 1) / H])
    inner = inner + torch.tensor([0.5 / W, 0.5 / H])
    found = module(features, inner, torch.zeros(50, dtype=torch.int64))
    if decoder == "mlp":  # its decoder is not linear in the position within a cell
        module.proj.weight.data[:, 9 * D :] = 0
        found = module(features, inner, torch.zeros(50, dtype=torch.int64))
    torch.testing.assert_close(found, found[:1].expand_as(found))


def test_a_decoder_that_returns_its_absolute_position_returns_the_point() -> None:
    module = module_of("linear", dim=2, out=2)
    v, u = torch.meshgrid((torch.arange(H) + 0.5) / H, (torch.arange(W) + 0.5) / W, indexing="ij")
    features = torch.stack([u, v])[None].double()
    with torch.no_grad():
        module.proj.bias.zero_()
        module.proj.weight.zero_()
        for axis, cells in enumerate((W, H)):
            module.proj.weight[axis, 9 * axis + 4] = 1.0  # centre of the 3 × 3 cells
            module.proj.weight[axis, 18 + axis] = 0.5 / cells  # the position is in half cells
    uv = torch.rand(200, 2, dtype=torch.float64)
    torch.testing.assert_close(module(features, uv, torch.zeros(200, dtype=torch.int64)), uv, atol=1e-7, rtol=0)


@pytest.mark.parametrize("decoder", READING)
def test_vectors_are_continuous_across_the_borders_and_centres_of_cells(decoder: Decoder) -> None:
    module = module_of(decoder)
    features = inputs(1)[0]
    steps = torch.arange(1, 2 * W, dtype=torch.float64) / (2 * W)  # borders and centres
    for axis in (0, 1):
        uv = torch.full((len(steps), 2), 0.37, dtype=torch.float64)
        uv[:, axis] = steps if axis == 0 else torch.arange(1, 2 * W) / (2 * W)
        image = torch.zeros(len(uv), dtype=torch.int64)
        before, after = uv.clone(), uv.clone()
        before[:, axis] -= 1e-9
        after[:, axis] += 1e-9
        torch.testing.assert_close(module(features, before, image), module(features, after, image), atol=1e-6, rtol=0)


@pytest.mark.parametrize("decoder", ["mlp", "linear", "bilinear", "nearest"])
def test_the_centre_of_a_cell_reads_this_cell(decoder: Decoder) -> None:
    corners = find_corners(torch.tensor([[(7 + 0.5) / W, (2 + 0.5) / H]]).double(), torch.tensor([1]), H, W)
    assert corners.cell[corners.weight.argmax(0), 0].tolist() == [(1 * H + 2) * W + 7]
    assert float(corners.weight.max()) == pytest.approx(1.0)
    module = module_of(decoder)
    features, _, _ = inputs(1)
    uv = torch.tensor([[(7 + 0.5) / W, (2 + 0.5) / H]], dtype=torch.float64)
    found = module(features, uv, torch.tensor([1]))
    others = features.clone()
    others[0], others[2] = 9.0, 9.0  # other images
    others[1, :, :, :5], others[1, :, 5:] = 9.0, 9.0  # cells that are not next to it
    torch.testing.assert_close(module(others, uv, torch.tensor([1])), found)


@pytest.mark.parametrize("decoder", READING)
def test_a_coloured_cell_is_found_where_it_is(decoder: Decoder) -> None:
    """Finds transposed axes, a wrong scale, or a wrong origin: the grid is not square."""
    features = torch.zeros(1, 1, H, W, dtype=torch.float64)
    row, column = 1, 7
    features[0, 0, row, column] = 1.0
    module = module_of(decoder, dim=1, out=1)
    with torch.no_grad():  # a decoder of the features of the cell itself
        for parameter in module.parameters():
            parameter.zero_()
        module.proj.weight[:, 4 if module.unfolds else 0] = 1.0
        if decoder == "mlp":
            module.out.weight.fill_(1.0)  # type: ignore[union-attr]
    v, u = torch.meshgrid((torch.arange(60) + 0.5) / 60, (torch.arange(90) + 0.5) / 90, indexing="ij")
    uv = torch.stack([u, v], dim=-1).double().view(-1, 2)
    found = module(features, uv, torch.zeros(len(uv), dtype=torch.int64)).flatten()
    weight = found / found.sum()
    centre = (weight[:, None] * uv).sum(0)
    torch.testing.assert_close(centre, torch.tensor([(column + 0.5) / W, (row + 0.5) / H]).double(), atol=1e-3, rtol=0)
    assert (uv[found.argmax()] * torch.tensor([W, H])).long().tolist() == [column, row]


@pytest.mark.parametrize("decoder", DECODERS)
def test_points_together_equal_points_one_by_one(decoder: Decoder) -> None:
    module = module_of(decoder)
    features, uv, image = inputs(300)
    together = module(features, uv, image)
    for query in range(0, 300, 37):
        alone = module(features[image[query]][None], uv[query : query + 1], torch.tensor([0]))
        torch.testing.assert_close(alone[0], together[query])


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_gradient_reaches_the_features_and_every_weight(decoder: Decoder) -> None:
    module = module_of(decoder)
    features, uv, image = inputs(200)
    features.requires_grad_()
    module(features, uv, image).square().sum().backward()
    assert features.grad is not None and bool(features.grad.any())
    assert all(p.grad is not None and bool(p.grad.any()) for p in module.parameters())


def test_no_points_give_no_vectors() -> None:
    features, uv, image = inputs(0)
    assert module_of("mlp")(features, uv, image).shape == (0, E)
