"""Numbers from font outlines: rings, holes, affine maps, fonts."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pytest
import shapely
import torch

from geojepa_cli.config.geometry import GlyphConfig
from geojepa_cli.errors import DataError, NotFoundError
from geojepa_cli.glyphs.draw import affine, draw_batch, join
from geojepa_cli.glyphs.fonts import find_fonts, read_families
from geojepa_cli.glyphs.outlines import TOLERANCES, Outline, outlines_of, read_outlines, signed_area, simplify
from geojepa_cli.nn.geometry.shapes import INNER

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
RATES = GlyphConfig(folder=str(FONTS), train_fonts={"a": "DejaVuSans.ttf"}, test_fonts={"b": "DejaVuSerif.ttf"})


@pytest.fixture(scope="module")
def sans() -> list[list[Outline]]:
    found = read_outlines(FONTS / "DejaVuSans.ttf")
    assert found is not None
    return found


def polygon(outline: Outline) -> shapely.Geometry:
    rings = [shapely.Polygon(ring) for ring in outline.rings]
    outer = [ring for ring, hole in zip(rings, outline.inner, strict=True) if not hole]
    return shapely.union_all(outer).difference(shapely.union_all([r for r in rings if not any(r is o for o in outer)]))


def test_digits_have_their_holes_and_valid_rings(sans: list[list[Outline]]) -> None:
    assert [sum(digit[0].inner) for digit in sans] == [1, 0, 0, 0, 1, 0, 1, 0, 2, 1]
    for levels in sans:
        for outline in levels:
            shape = polygon(outline)
            signed = sum(signed_area(ring) for ring in outline.rings)
            assert shape.is_valid and shape.area == pytest.approx(signed)
            assert all((signed_area(r) < 0) == hole for r, hole in zip(outline.rings, outline.inner, strict=True))
            assert np.concatenate(outline.rings).min() >= 0 and outline.rings[0][:, 1].max() <= 1


def test_simplified_rings_stay_within_the_tolerance() -> None:
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    ring = np.stack([np.cos(angles), 0.5 * np.sin(angles) + 0.1 * np.sin(5 * angles)], axis=1)
    for tolerance in TOLERANCES:
        simple = simplify(ring, tolerance)
        assert shapely.LinearRing(ring).hausdorff_distance(shapely.LinearRing(simple)) <= tolerance
        assert 3 < len(simple) < 100


def test_a_digit_whose_strokes_overlap_is_left_out() -> None:
    square = np.array([(0, 0), (4, 0), (4, 4), (0, 4)], float)
    assert outlines_of([square, square + 2]) is None
    assert outlines_of([square, square / 2 + 1]) is not None


def test_affine_maps_have_the_stated_ranges() -> None:
    rng = np.random.default_rng(0)
    matrices = np.stack([affine(RATES, rng) for _ in range(4000)])
    size = np.sqrt(np.linalg.det(matrices))
    assert size.min() >= RATES.size_low and size.max() <= RATES.size_high
    ratio = np.divide(*np.linalg.svd(matrices / size[:, None, None], compute_uv=False).T)
    t = RATES.shear**2 + 2  # the largest ratio of a shear, times that of the stretch
    assert 1 < ratio.max() <= (t + np.sqrt(t**2 - 4)) / 2 * RATES.stretch**2
    turns = np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0])
    assert np.histogram(turns, 8, (-np.pi, np.pi))[0].min() > 400


def test_a_drawing_without_distortion_is_the_outline_of_its_number(sans: list[list[Outline]]) -> None:
    plain = RATES.model_copy(update={"rotation_deg": 0, "shear": 0, "stretch": 1, "size_low": 0.2, "size_high": 0.2})
    batch = draw_batch([[sans]], 40, plain, np.random.default_rng(1), unseen=False)
    shapes = batch.shapes
    for row, label in enumerate(batch.labels.tolist()):
        tens, units = divmod(label + 10, 10)
        parts = slice(int(shapes.part_offsets[row]), int(shapes.part_offsets[row + 1]))
        holes = int((shapes.part_role[parts] == INNER).sum())
        assert holes == sum(sans[tens][0].inner) + sum(sans[units][0].inner)
        nodes = shapes.node_xy[shapes.node_offsets[row] : shapes.node_offsets[row + 1]]
        width = float(np.ptp(nodes[:, 0].numpy())) / 0.2 - sans[tens][0].width - sans[units][0].width
        assert plain.gap_low - 0.01 <= width <= plain.gap_high + 0.01
    assert len(set(batch.labels.tolist())) > 20 and batch.labels.min() >= 0 and batch.labels.max() < 90


def test_visibility_edges_join_different_parts_and_joined_batches_are_whole(sans: list[list[Outline]]) -> None:
    first, second = (draw_batch([[sans]], 5, RATES, np.random.default_rng(seed), seed == 1) for seed in (0, 1))
    batch = join([first, second])
    part, owner = batch.shapes.node_parts(), batch.shapes.node_entities()
    a, b = batch.shapes.edges
    assert bool((part[a] != part[b]).all()) and bool((owner[a] == owner[b]).all())
    assert torch.equal(owner[a].bincount(minlength=10), batch.shapes.edge_offsets.diff())
    assert batch.unseen.tolist() == [False] * 5 + [True] * 5 and batch.n_tiles == 10


def test_fonts_are_found_by_package_and_missing_packages_are_named(tmp_path: Path) -> None:
    files = find_fonts(RATES)
    assert [path.name for path in files.train["a"]] == ["DejaVuSans.ttf"] and len(files.digest()) == 64
    families = read_families(files)
    assert families.counts == {"train_families": 1, "test_families": 1, "styles": 2, "fonts_left_out": 0}
    with pytest.raises(NotFoundError, match="`fonts-x`") as caught:
        find_fonts(RATES.model_copy(update={"train_fonts": {"fonts-x": "X*"}}))
    hint = str(caught.value.hint)
    assert "apt-get" not in hint and "--set glyphs.folder=/usr/share/fonts" in hint
    assert str(RATES.folder) in caught.value.message and "`glyphs.folder`" in caught.value.message
    with pytest.raises(NotFoundError, match=r"`glyphs\.folder` does not exist") as caught:
        find_fonts(RATES.model_copy(update={"folder": str(tmp_path / "nowhere")}))
    assert str(tmp_path / "nowhere") in caught.value.message and "apt-get" not in str(caught.value.hint)
    with pytest.raises(NotFoundError, match="`fonts-x`") as caught:
        find_fonts(GlyphConfig(train_fonts={"fonts-x": "No such font*"}))
    assert "apt-get install fonts-x" in str(caught.value.hint)
    (tmp_path / "bad.ttf").write_bytes(b"no font")
    with pytest.raises(DataError, match=r"bad\.ttf` is not a font"):
        read_outlines(tmp_path / "bad.ttf")
