"""The registry: every entry is complete, and a baseline of one file and one line is known to all commands."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic_workspace import add_region
from tile_batches import random_batch, tag_table
from typer.testing import CliRunner

from geojepa_cli.app import app
from geojepa_cli.config.modality import Modality
from geojepa_cli.models import registry
from geojepa_cli.models.base import FrozenInputs, TagList
from geojepa_cli.stages.embedding_model import Model, find_model
from geojepa_cli.stages.embeddings import make_embeddings
from geojepa_cli.stages.tasks import build_tasks
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.store.reader import RegionStore, box_corners, decode_xy
from geojepa_cli.workspace.workspace import Workspace

CONTRIBUTING = Path(__file__).resolve().parents[2] / "CONTRIBUTING.md"


@pytest.fixture
def mean_box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Adds the baseline of `CONTRIBUTING.md` at run time, from a module outside the package."""
    code = CONTRIBUTING.read_text(encoding="utf-8").partition("# geojepa_cli/baselines/mean_box.py\n")[2]
    (tmp_path / "boxes_of_a_user.py").write_text(code.partition("```")[0], encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(registry.BASELINES, "mean_box", "boxes_of_a_user:MeanBox")
    yield "mean_box"
    sys.modules.pop("boxes_of_a_user", None)


def test_a_new_baseline_is_known_to_embed_probe_knn_and_report(mean_box: str, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    region = add_region(workspace, "r", 0, 160)
    build_tasks(workspace, region, ["building_count"])

    def call(*arguments: str) -> object:
        done = CliRunner().invoke(app, ["--workspace", str(workspace.root), *arguments, "--json"])
        assert done.exception is None, done.exception
        return json.loads(done.stdout)["result"]

    made = call("embed", "--model", mean_box)
    assert made["model"] == mean_box  # type: ignore[index]
    vectors = Embeddings(workspace.find("embeddings", f"{mean_box}.r").file("embeddings.h5"))
    store = RegionStore(region.file("processed.h5"), "r")
    pieces = vectors["entity/piece"].astype(int)
    boxes = box_corners(decode_xy(store["piece/box_centre"][pieces]), store["piece/box_side"][pieces])
    np.testing.assert_array_equal(vectors["entity/vector"], boxes.astype(np.float16))
    first, last = vectors["entity/cu_seqlens"][3:5].astype(int)
    expected = np.concatenate([boxes[first:last].max(0), boxes[first:last].mean(0)])
    np.testing.assert_allclose(vectors["tile/vector"][3], expected, rtol=1e-5, atol=1e-6)

    probed = call("probe", "--task", "building_count", "--model", mean_box, "--head", "linear")
    assert mean_box in json.dumps(probed)
    found = call("knn", "--tile", vectors.tile_name(3), "--model", mean_box)
    assert found["model"] == mean_box  # type: ignore[index]
    assert mean_box in json.dumps(call("report", "--out", str(tmp_path)))


def test_a_mistyped_baseline_names_the_nearest(mean_box: str, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="did you mean `mean_box`"):
        find_model(Workspace(tmp_path / "workspace"), "mean_bx")


def test_a_model_cannot_take_the_name_of_a_baseline(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["--workspace", str(tmp_path), "pretrain", "--name", "tagpool"])
    assert "`tagpool` is the name of a baseline" in str(done.exception)


@pytest.mark.parametrize("name", sorted(registry.BASELINES))
def test_every_baseline_embeds_a_batch_by_its_registered_name(name: str) -> None:
    table = tag_table()
    tags = TagList(["highway"] * len(table), [f"value {i}" for i in range(len(table))])
    baseline = registry.open_baseline(name, FrozenInputs(table, tags=tags))
    assert baseline.name == name
    assert baseline.needs == registry.baseline_needs(name) and all(
        isinstance(need, Modality) for need in baseline.needs
    )
    found = baseline.encode(random_batch([4, 1, 7]))  # type: ignore[arg-type]
    assert len(found.entities) == 12 and len(found.tiles) == 3
    assert bool(found.tiles.isfinite().all())


def test_baselines_with_counts_have_the_stated_parts() -> None:
    table, batch = tag_table(), random_batch([4, 1, 7])
    inputs = FrozenInputs(table, tags=TagList(["highway"] * len(table), ["residential"] * len(table)))
    plain, counted, counts, logs = (
        registry.open_baseline(name, inputs).encode(batch)  # type: ignore[arg-type]  # has the fields that they read
        for name in ("tagpool", "tagpool-counts", "tag-counts", "tag-log-counts")
    )
    mean, n = plain.tiles[:, table.shape[1] :], torch.tensor([4.0, 1.0, 7.0])
    torch.testing.assert_close(counted.tiles[:, :-512], torch.cat([plain.tiles, mean * n.log()[:, None]], 1))
    assert torch.equal(counted.entities, plain.entities) and torch.equal(logs.entities, counts.entities)
    presence, logarithms = logs.tiles.numpy()[:, :600], logs.tiles.numpy()[:, 600:]
    assert logs.tiles.shape == (3, 1200) and float(counts.tiles.max()) > 1
    assert presence.tolist() == [[float(count > 0) for count in row] for row in counts.tiles.tolist()]
    torch.testing.assert_close(torch.from_numpy(logarithms).exp() - 1, counts.tiles)


@pytest.mark.parametrize("family", sorted(registry.FAMILIES))
def test_the_functions_of_every_family_exist(family: str) -> None:
    for target in registry.FAMILIES[family]:
        assert callable(registry.resolve(target))


def test_a_baseline_with_tile_vectors_of_any_width_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Counter:
        name, needs = "counter", frozenset({Modality.TAGS})

        def __init__(self, inputs: FrozenInputs) -> None:
            pass

        def encode(self, batch: object) -> object:
            from geojepa_cli.models.base import BatchVectors

            lengths = batch.lengths.float()  # type: ignore[attr-defined]
            return BatchVectors(torch.ones(int(lengths.sum()), 2), torch.stack([lengths, lengths, lengths + 1], 1))

    monkeypatch.setattr(registry, "resolve", lambda target: Counter)
    monkeypatch.setitem(registry.BASELINES, "counter", "any:Counter")
    workspace = Workspace(tmp_path / "workspace")
    made = make_embeddings(workspace, Model("counter"), add_region(workspace, "r", 0, 40))
    vectors = Embeddings(made.file("embeddings.h5"))
    lengths = np.diff(vectors["entity/cu_seqlens"].astype(int))
    np.testing.assert_array_equal(vectors["tile/vector"], np.stack([lengths, lengths, lengths + 1], 1))
    assert vectors["entity/vector"].shape[1] == 2
