"""The PolygonGNN that comes with the package, and the folder that the tool makes of a trained one."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from geometry_shapes import mixed, shapes_of
from shipped_models import write_geometry_model
from test_export_shipped_model import run_tool

from geojepa_cli.config.geometry import GeometryConfig, GlyphConfig
from geojepa_cli.config.names import CARD, CONFIG, METRICS, WEIGHTS
from geojepa_cli.export.shipped_card import read_header
from geojepa_cli.export.shipped_model import MAX_BYTES
from geojepa_cli.glyphs.draw import GlyphBatch, draw_batch
from geojepa_cli.glyphs.fonts import Families, find_fonts, read_families
from geojepa_cli.models.polygon_gnn.embedder import load_encoder
from geojepa_cli.models.published import FORMAT, read_run
from geojepa_cli.nn.geometry.polygon_gnn import PolygonGNN
from geojepa_cli.nn.geometry.shapes import LINE, OUTER, Shapes
from geojepa_cli.stages.geometry_source import shipped_encoder
from geojepa_cli.stages.shipped import FOLDER, SHIPPED_GEOMETRY
from geojepa_cli.store.tensors import read_tensors
from geojepa_cli.train.log import read_metrics

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
SHIPPED = FOLDER / SHIPPED_GEOMETRY
GLYPHS = GlyphConfig(
    folder=str(FONTS), train_fonts={"a": "DejaVuSans.ttf"}, test_fonts={"b": "DejaVuSerif.ttf"}, rotation_deg=0
)


@pytest.fixture(scope="module")
def encoder() -> PolygonGNN:
    return load_encoder(SHIPPED)


@pytest.fixture(scope="module")
def families() -> Families:
    return read_families(find_fonts(GLYPHS))


def encode(encoder: PolygonGNN, shapes: Shapes) -> torch.Tensor:
    with torch.inference_mode():
        return encoder(shapes)


def nearest_centroid(encoder: PolygonGNN, known: GlyphBatch, asked: GlyphBatch) -> float:
    """Share of known numbers whose vector is nearest to the mean vector of the same number in another font."""
    vectors, wanted = (F.normalize(encode(encoder, batch.shapes), dim=1) for batch in (known, asked))
    numbers = known.labels.unique()
    centroids = torch.stack([vectors[known.labels == number].mean(0) for number in numbers])
    found = numbers[torch.cdist(wanted, centroids).argmin(1)] == asked.labels
    return float(found[torch.isin(asked.labels, numbers)].float().mean())


def test_points_lines_polygons_holes_and_relations_have_finite_and_distinct_vectors(encoder: PolygonGNN) -> None:
    vectors = encode(encoder, mixed())
    assert vectors.shape == (5, 256) and vectors.dtype == torch.float32
    assert bool(vectors.isfinite().all())
    distances = torch.cdist(vectors, vectors) / vectors.norm(dim=1).mean()
    assert float(distances[~torch.eye(5, dtype=torch.bool)].min()) > 0.2


def test_similar_shapes_have_similar_vectors(encoder: PolygonGNN) -> None:
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    square = torch.tensor([(0.0, 0.0), (0.4, 0.0), (0.4, 0.4), (0.0, 0.4)])
    shapes = [square, 0.1 * square @ turn.T + 0.5, square * torch.tensor([1.0, 1.05]), square * torch.tensor([1, 0.1])]
    outlines = [[(OUTER, [tuple(xy) for xy in one.tolist()])] for one in shapes]
    line = [(LINE, [tuple(xy) for xy in square.tolist()])]
    found = encode(encoder, shapes_of([*outlines, line]))
    same, turned, almost, narrow, open_ = (float((found[0] - one).norm() / found[0].norm()) for one in found)
    assert same == 0 and turned < 1e-3 < almost < narrow and almost < open_


def test_numbers_in_another_font_are_nearest_to_their_own_kind(families: Families, encoder: PolygonGNN) -> None:
    known = draw_batch(families.train, 150, GLYPHS, np.random.default_rng(0), unseen=True)
    asked = draw_batch(families.test, 60, GLYPHS, np.random.default_rng(1), unseen=True)
    torch.manual_seed(0)
    assert nearest_centroid(encoder, known, asked) > 0.9 > 0.5 > nearest_centroid(PolygonGNN().eval(), known, asked)


def test_it_has_the_version_of_its_weights_and_no_classifier(encoder: PolygonGNN) -> None:
    source = shipped_encoder()
    assert source.kind.encoder == "polygon_gnn" and source.kind.dim == 256 and source.artifact is None
    assert source.kind.version == f"sha256-{source.params['weights_sha256'][:12]}"
    tensors, config = read_run(SHIPPED)
    assert isinstance(config, GeometryConfig)
    assert {name.partition(".")[0] for name in tensors} == {"encoder"}
    assert sum(tensor.numel() for tensor in tensors.values()) == sum(p.numel() for p in encoder.parameters())
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < MAX_BYTES / 2


def test_its_card_states_the_accuracy_of_its_log() -> None:
    card = (SHIPPED / CARD).read_text(encoding="utf-8")
    last = read_metrics(SHIPPED / METRICS)[-1]
    for group in ("unseen_fonts", "unseen_instances"):
        assert f"| {group.replace('_', ' ')} | 1,000 | {last[f'accuracy_{group}']:.4f} |" in card
    assert read_header(card, "card") == ((), (), None)


def test_the_tool_ships_an_encoder_without_regions(tmp_path: Path) -> None:
    source = write_geometry_model(tmp_path / "source")
    options = ["--name", SHIPPED_GEOMETRY, "--command", "geojepa pretrain --config geometry.yaml", "--into", tmp_path]
    done = run_tool(source, *options)
    assert done.returncode == 0, done.stderr
    made = tmp_path / SHIPPED_GEOMETRY
    (kept, metadata), (all_, _) = (read_tensors(folder / WEIGHTS) for folder in (made, source))
    assert set(kept) == {name for name in all_ if name.startswith("encoder.")} < set(all_)
    assert {tensor.dtype for tensor in kept.values()} == {torch.float16} and metadata == FORMAT
    assert (made / CONFIG).read_bytes() == (source / CONFIG).read_bytes()
    card = (made / CARD).read_text(encoding="utf-8")
    assert "| unseen fonts | 1,000 | 0.2500 |" in card and "OpenStreetMap contributors" not in card
    assert read_header(card, "card") == ((), (), None)


def test_float16_weights_give_almost_the_same_vectors(families: Families, tmp_path: Path) -> None:
    source = write_geometry_model(tmp_path / "source")
    run_tool(source, "--name", "half", "--command", "geojepa pretrain", "--into", tmp_path)
    shapes = draw_batch(families.train, 60, GLYPHS, np.random.default_rng(2), unseen=True).shapes
    exact, rounded = (encode(load_encoder(folder), shapes) for folder in (source, tmp_path / "half"))
    assert rounded.dtype == torch.float32 and not torch.equal(exact, rounded)
    assert float(((exact - rounded).norm(dim=1) / exact.norm(dim=1)).max()) < 2e-3
