"""Location encoders, against pyproj, scipy, a Gaussian kernel and the package geoclip; the queue of places."""

from __future__ import annotations

import importlib.util
import math
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import scipy.special
import torch
from torch import Tensor

from geojepa_cli.nn.location import (
    SCALE,
    UNIT_M,
    FourierFeatures,
    LocationEncoder,
    are_near,
    equal_earth,
    spherical_harmonics,
    unit_vectors,
)
from geojepa_cli.nn.losses.contrastive import unit
from geojepa_cli.nn.place_queue import PlaceQueue

LUND = (13.19, 55.70)


def places(count: int, seed: int = 0) -> Tensor:
    """Random places on the globe, evenly distributed, and the poles and the antimeridian."""
    rng = np.random.default_rng(seed)
    lon, lat = rng.uniform(-180, 180, count), np.degrees(np.arcsin(rng.uniform(-1, 1, count)))
    lon[:4], lat[:4] = [0, 180, -180, 12.5], [0, 90, -90, -33.25]
    return torch.from_numpy(np.stack([lon, lat], axis=1))


def moved(lonlat: Tensor, east_m: Any, north_m: Any) -> Tensor:
    """Places at a distance from others, by pyproj on a sphere."""
    lon, lat = lonlat[:, 0].numpy(), lonlat[:, 1].numpy()
    sphere = pyproj.Geod(a=6_371_008.8, f=0)
    azimuth, distance = np.degrees(np.arctan2(east_m, north_m)), np.hypot(east_m, north_m)
    there = sphere.fwd(lon, lat, np.broadcast_to(azimuth, lon.shape), np.broadcast_to(distance, lon.shape))
    return torch.from_numpy(np.stack(there[:2], axis=1))


def test_equal_earth_equals_pyproj_on_the_unit_sphere() -> None:
    lonlat = places(2000)
    expected = np.stack(pyproj.Proj("+proj=eqearth +R=1")(*lonlat.t().numpy()), axis=1)
    np.testing.assert_allclose(equal_earth(lonlat).numpy(), expected, atol=1e-9)
    other = np.stack(pyproj.Proj("EPSG:8857")(*lonlat.t().numpy()), axis=1)
    assert np.abs(other / 6_371_008.8 - expected).max() * 6_371_008.8 > 10_000  # not EPSG:8857


@pytest.mark.parametrize("sigma", [1.0, 256.0, 16_384.0])
def test_fourier_features_approximate_a_gaussian_kernel(sigma: float) -> None:
    torch.manual_seed(4)
    features = FourierFeatures(sigma, 256)
    start = torch.tensor([LUND]).double().repeat(60, 1)
    reach_m = UNIT_M / sigma
    xy = equal_earth(torch.cat([start, moved(start, np.linspace(0, reach_m, 60), 0.3 * reach_m)])) * SCALE
    found = features(xy)
    kernel = (found[:60] * found[60:]).sum(1) / 256
    squared = (xy[:60] - xy[60:]).square().sum(1)
    expected = torch.exp(-2 * math.pi**2 * sigma**2 * squared)
    assert float((kernel - expected).abs().max()) < 4 / math.sqrt(256)
    assert float(expected.min()) < 0.01


def test_the_added_scales_tell_places_of_a_city_apart_and_the_published_ones_do_not() -> None:
    torch.manual_seed(0)
    here = torch.tensor([LUND]).double()
    there = moved(here, 400.0, 0.0)
    cosine = {}
    for sigma in (256.0, 4096.0, 16_384.0):
        a, b = FourierFeatures(sigma)(equal_earth(torch.cat([here, there])) * SCALE)
        cosine[sigma] = float(a @ b / 256)
    assert cosine[256.0] > 0.99 > 0.9 > cosine[4096.0] > cosine[16_384.0]


def test_the_phase_is_exact_to_centimetres() -> None:
    """In float32, places 0.5 m apart would get the same features, or features of places metres away."""
    torch.manual_seed(0)
    features = FourierFeatures(1e5, 64)
    here = torch.tensor([(178.0, 55.7)]).double()
    there = moved(here, 0.5, 0.0)
    xy = equal_earth(torch.cat([here, there])) * SCALE
    phases = 2 * np.pi * (xy.numpy().astype(np.longdouble) @ features.frequencies.numpy().astype(np.longdouble).T)
    np.testing.assert_allclose(features(xy).numpy(), np.concatenate([np.cos(phases), np.sin(phases)], 1), atol=1e-7)
    assert not torch.allclose(*features(xy), atol=1e-2)


def test_spherical_harmonics_equal_scipy() -> None:
    lonlat, degree = places(200), 12
    found = spherical_harmonics(lonlat, degree).numpy()
    phi, theta = np.radians(lonlat[:, 0].numpy()), np.pi / 2 - np.radians(lonlat[:, 1].numpy())
    column = 0
    for n in range(degree + 1):
        for m in range(-n, n + 1):
            complex_value = scipy.special.sph_harm_y(n, abs(m), theta, phi) * (-1) ** m  # without Condon–Shortley phase
            part = complex_value.real if m >= 0 else complex_value.imag
            expected = part * (math.sqrt(2) if m else 1)
            np.testing.assert_allclose(found[:, column], expected, atol=1e-12)
            column += 1
    assert column == found.shape[1] == (degree + 1) ** 2


def test_spherical_harmonics_of_a_high_degree_are_finite_and_orthonormal() -> None:
    lat_nodes, weights = np.polynomial.legendre.leggauss(41)  # exact for products of two functions of degree 40
    lon = np.arange(82) * 360.0 / 82
    grid = np.stack(np.meshgrid(lon, np.degrees(np.arcsin(lat_nodes))), axis=-1).reshape(-1, 2)
    found = spherical_harmonics(torch.from_numpy(grid), 40).numpy()
    area = np.repeat(weights, 82) * 2 * np.pi / 82
    np.testing.assert_allclose(found.T @ (area[:, None] * found), np.eye(41**2), atol=1e-9)


def test_near_places_are_those_within_the_distance() -> None:
    start = torch.tensor([LUND]).double().repeat(40, 1)
    other = moved(start, np.linspace(0, 40, 40), np.linspace(40, 0, 40))
    sphere = pyproj.Geod(a=6_371_008.8, f=0)
    lon, lat = other.t().numpy()
    for row, distance in ((0, 25.0), (20, 3.0), (39, 0.02)):
        metres = sphere.inv(np.full(40, lon[row]), np.full(40, lat[row]), lon, lat)[2]
        assert are_near(other[row : row + 1], other, distance)[0].tolist() == (metres < distance).tolist()
    assert are_near(other, other, 0.0).sum() == 0


def test_unit_vectors_have_length_one_and_the_right_direction() -> None:
    found = unit_vectors(torch.tensor([(0.0, 0.0), (90.0, 0.0), (12.0, 90.0)]).double())
    torch.testing.assert_close(found, torch.eye(3, dtype=torch.float64), atol=1e-12, rtol=0)
    assert unit(torch.zeros(1, 3)).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("sigmas", [(1.0, 4096.0), ()])
def test_a_gradient_reaches_every_weight_and_places_are_encoded_one_by_one(sigmas: tuple[float, ...]) -> None:
    torch.manual_seed(0)
    encoder = LocationEncoder(6, sigmas, features=8, hidden_dim=12, hidden_layers=2, degree=4)
    lonlat = places(30)
    found = encoder(lonlat)
    found.square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in encoder.parameters())
    torch.testing.assert_close(torch.cat([encoder(place[None]) for place in lonlat]), found)
    assert found.dtype == torch.float32 and found.shape == (30, 6)


@pytest.fixture
def geoclip() -> Iterator[Any]:
    """The module of the location encoder in PyPI's package, without the image model that the package imports."""
    spec = importlib.util.find_spec("geoclip")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs `pip install --no-deps geoclip==1.3.0`, whose other requirements are not used")
    folder = Path(spec.submodule_search_locations[0])
    made = {}
    for name, path in (("geoclip", folder), ("geoclip.model", folder / "model")):
        made[name] = types.ModuleType(name)
        made[name].__path__ = [str(path)]
    sys.modules.update(made)
    yield importlib.import_module("geoclip.model.location_encoder")
    for name in [name for name in sys.modules if name.split(".")[0] == "geoclip"]:
        del sys.modules[name]


def test_the_weights_of_geoclip_give_the_output_of_geoclip(geoclip: Any) -> None:
    theirs = geoclip.LocationEncoder().double()
    weights = {name: tensor.double() for name, tensor in theirs.state_dict().items()}
    ours = LocationEncoder(512, (1.0, 16.0, 256.0)).double()
    renamed = {}
    for number in range(3):
        capsule = f"LocEnc{number}"
        renamed[f"scales.{number}.frequencies"] = weights[f"{capsule}.capsule.0.b"]
        for layer in (1, 3, 5):
            for part in ("weight", "bias"):
                renamed[f"mlps.{number}.{layer - 1}.{part}"] = weights[f"{capsule}.capsule.{layer}.{part}"]
        for part in ("weight", "bias"):
            renamed[f"mlps.{number}.6.{part}"] = weights[f"{capsule}.head.0.{part}"]
    ours.load_state_dict(renamed)
    lonlat = places(300)
    latlon = lonlat.flip(1)
    theirs_of_places = sum(theirs._modules[f"LocEnc{i}"](geoclip.equal_earth_projection(latlon)) for i in range(3))
    torch.testing.assert_close(ours(lonlat), theirs_of_places, atol=1e-5, rtol=0)


def test_a_queue_keeps_the_last_places_when_the_batch_does_not_divide_it() -> None:
    queue, capacity, kept = PlaceQueue(10), 10, []
    rng = np.random.default_rng(0)
    assert not queue.filled().any() and len(queue) == 0
    for count in (3, 4, 6, 0, 25, 7, 10):
        lonlat, groups = (
            torch.from_numpy(rng.normal(size=(count, 2))),
            torch.from_numpy(rng.integers(0, 99, (count, 2))),
        )
        queue.push(lonlat, groups)
        kept = (kept + [(*a, *b) for a, b in zip(lonlat.tolist(), groups.tolist(), strict=True)])[-capacity:]
        found = [
            (*queue.lonlat[slot].tolist(), *queue.groups[slot].tolist()) for slot in queue.filled().nonzero().flatten()
        ]
        assert sorted(found) == sorted(kept)
        assert len(queue) == len(kept)


def test_a_queue_resumes_from_its_state() -> None:
    first, other = PlaceQueue(8), PlaceQueue(8)
    lonlat, groups = places(5), torch.arange(10).view(5, 2)
    first.push(lonlat, groups)
    other.load_state_dict(first.state_dict())
    for queue in (first, other):
        queue.push(lonlat + 1.0, groups + 1)
    assert all(torch.equal(a, b) for a, b in zip(first.buffers(), other.buffers(), strict=True))


def test_a_queue_without_capacity_stays_empty() -> None:
    queue = PlaceQueue(0)
    queue.push(places(5), torch.zeros(5, 2, dtype=torch.int64))
    assert len(queue) == 0 and queue.filled().shape == (0,)
