"""Training of the geometry encoder: the loop, its figures, and the published model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import pytest
import torch
from synthetic_store import write_synthetic_processed

from geojepa_cli.config.geometry import GeometryConfig
from geojepa_cli.config.load import load_run_config
from geojepa_cli.config.modality import Modality
from geojepa_cli.config.names import METRICS
from geojepa_cli.errors import UsageError
from geojepa_cli.glyphs.fonts import Families, find_fonts, read_families
from geojepa_cli.models.base import FrozenInputs
from geojepa_cli.models.polygon_gnn.pretraining import GlyphClassifier, build
from geojepa_cli.models.registry import open_published
from geojepa_cli.stages import pretrain
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View
from geojepa_cli.train.glyphs import GlyphData, accuracies
from geojepa_cli.train.log import read_metrics
from geojepa_cli.train.loop import train
from geojepa_cli.workspace.workspace import Workspace

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
CPU = torch.device("cpu")
SMALL = [
    f"glyphs.folder={FONTS}",
    "glyphs.train_fonts={a: DejaVuSans.ttf}",
    "glyphs.test_fonts={b: DejaVuSansMono.ttf}",
    "glyphs.samples=36",
    "glyphs.test_samples=8",
    "model.dim=32",
    "model.depth=2",
    "train.batch_tokens=12",
    "train.epochs=null",
    "train.checkpoint_every=4",
    "train.log_every=5",
]


def config_of(*overrides: str) -> GeometryConfig:
    config = load_run_config("geometry", [*SMALL, *overrides])
    assert isinstance(config, GeometryConfig)
    return config


@pytest.fixture(scope="module")
def families() -> Families:
    return read_families(find_fonts(config_of("train.max_steps=1").glyphs))


def train_in(folder: Path, families: Families, config: GeometryConfig) -> GlyphClassifier:
    folder.mkdir(exist_ok=True)
    data = GlyphData(families, config, 0, CPU)
    model = build(config, data.inputs, 0)
    train(model, data, config.train, folder, 0)
    return model.module


def test_worker_processes_draw_the_same_batches(families: Families) -> None:
    config = config_of("train.max_steps=1")
    drawn = [list(GlyphData(families, config, 3, CPU, workers).batches(1, [1, 2])) for workers in (0, 2)]
    assert len(drawn[0]) == len(drawn[1]) == 2
    for one, two in zip(*drawn, strict=True):
        for a, b in zip((*one.shapes, *one[1:]), (*two.shapes, *two[1:]), strict=True):
            assert a.dtype == b.dtype and torch.equal(a, b)


def test_the_loss_falls_and_both_accuracies_are_logged(families: Families, tmp_path: Path) -> None:
    plain = [f"glyphs.{key}" for key in ("rotation_deg=0", "shear=0", "stretch=1")]
    train_in(tmp_path, families, config_of("train.max_steps=30", "train.lr=6e-3", *plain))
    lines = read_metrics(tmp_path / METRICS)
    assert lines[-1]["loss"] < lines[1]["loss"] - 0.2
    for name in ("unseen_fonts", "unseen_instances"):
        assert 0 <= lines[-1][f"accuracy_{name}"] <= 1 and lines[-1][f"loss_{name}"] > 0


def test_a_run_that_stops_and_resumes_ends_with_the_same_weights(families: Families, tmp_path: Path) -> None:
    whole = train_in(tmp_path / "whole", families, config_of("train.max_steps=8", "train.schedule=wsd"))
    config = config_of("train.max_steps=8", "train.schedule=wsd")
    data = GlyphData(families, config, 0, CPU)

    class Stopped(Exception):
        pass

    class Stopping(GlyphData):
        def batches(self, epoch: int, indices: Sequence[int]):  # type: ignore[no-untyped-def]
            for batch in super().batches(epoch, indices):
                if epoch == 2:
                    raise Stopped
                yield batch

    (tmp_path / "stopped").mkdir()
    with pytest.raises(Stopped):
        train(build(config, data.inputs, 0), Stopping(families, config, 0, CPU), config.train, tmp_path / "stopped", 0)
    resumed = train_in(tmp_path / "stopped", families, config)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))
    assert (tmp_path / "whole" / METRICS).read_bytes() == (tmp_path / "stopped" / METRICS).read_bytes()


def test_drawings_depend_on_epoch_and_position_only_and_test_data_is_apart(families: Families) -> None:
    data = GlyphData(families, config_of("train.max_steps=1"), 0, CPU)
    first = list(data.batches(0, range(3)))
    assert [batch.n_tiles for batch in first] == [12, 12, 12] and data.n_batches(0) == 3
    assert torch.equal(next(data.batches(0, [2])).shapes.node_xy, first[2].shapes.node_xy)
    assert not torch.equal(next(data.batches(1, [0])).labels, first[0].labels)
    fixed = data.fixed_batches()
    assert [bool(batch.unseen.all()) for batch in fixed] == [False, True]
    assert not torch.equal(fixed[0].labels, first[0].labels[:8])


class Oracle:
    """Module that knows the numbers drawn from the fonts of training, and gives 10 for all others."""

    def __call__(self, batch) -> torch.Tensor:  # type: ignore[no-untyped-def]
        return torch.nn.functional.one_hot(torch.where(batch.unseen, 0, batch.labels), 90).float()


def test_accuracies_are_counted_by_group_of_fonts(families: Families) -> None:
    fixed = GlyphData(families, config_of("train.max_steps=1", "glyphs.test_samples=150"), 0, CPU).fixed_batches()
    model = type("Model", (), {"module": Oracle()})()
    found = accuracies(model, fixed)
    share = float((torch.cat([b.labels[b.unseen] for b in fixed]) == 0).float().mean())
    assert found["accuracy_unseen_instances"] == 1 and found["accuracy_unseen_fonts"] == pytest.approx(share)


def test_logits_of_a_number_are_sums_over_its_digits(families: Families) -> None:
    config = config_of("train.max_steps=1")
    module = build(config, FrozenInputs(torch.empty(0, 0)), 0).module.eval()
    batch = next(GlyphData(families, config, 0, CPU).batches(0, [0]))
    digits = module.head(module.encoder(batch.shapes)).detach()
    expected = [[digits[row, n // 10 - 1] + digits[row, 9 + n % 10] for n in range(10, 100)] for row in range(12)]
    torch.testing.assert_close(module(batch), torch.tensor(expected))


def test_pretrain_publishes_an_encoder_of_real_geometry(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    model = pretrain(workspace, "geometry.yaml", set_=[*SMALL, "train.max_steps=3"])
    assert model.name == "geometry" and not model.inputs
    assert model.counts["train_families"] == 1 and model.counts["steps"] == 3
    card = model.file("model_card.md").read_text()
    assert "unseen fonts" in card and "family: polygon_gnn" in card
    assert pretrain(workspace, "geometry.yaml", set_=[*SMALL, "train.max_steps=3"]).id == model.id
    write_synthetic_processed(tmp_path / "processed.h5", seed=1, n_tiles=8)
    embedder = open_published(model.path, "polygon_gnn", FrozenInputs(torch.empty(0, 0)))
    store = TileStore.open([tmp_path / "processed.h5"])
    view = View.default(store, 1, None)
    batch = store.read(view, view.tiles, needs=frozenset({Modality.TAGS, Modality.NODES}))
    vectors = embedder.encode(batch)
    assert vectors.entities.shape == (batch.n_tokens, 32) and vectors.tiles.shape == (len(view.tiles), 64)
    assert bool(vectors.entities.isfinite().all())
    with pytest.raises(UsageError, match="cannot be combined with `--region`"):
        pretrain(workspace, "geometry.yaml", region="oak", set_=[*SMALL, "train.max_steps=3"])
