"""`geojepa report` on probes of a small random workspace."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from synthetic_workspace import add_region
from typer.testing import CliRunner, Result

from geojepa_cli import Workspace, stages
from geojepa_cli.app import app
from geojepa_cli.errors import DataError
from geojepa_cli.stages.tasks import build_tasks
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.store.view import piece_reasons
from geojepa_cli.workspace.artifact import Artifact

Invoke = Callable[..., Result]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A region with two tasks, both probed."""
    made = Workspace(tmp_path / "workspace")
    build_tasks(made, add_region(made, "town", 5, 60), ["building_count", "max_speed"])
    for task in ("building_count", "max_speed"):
        stages.probe(made, task, masked=True, head="linear")
    return made


@pytest.fixture
def invoke(workspace: Workspace) -> Invoke:
    """Runs a command on the workspace."""
    return lambda *arguments: CliRunner().invoke(app, ["--workspace", str(workspace.root), *map(str, arguments)])


def test_a_report_has_every_probe_is_published_and_is_copied_to_a_folder(
    workspace: Workspace, invoke: Invoke, tmp_path: Path
) -> None:
    answer = json.loads(invoke("report", "--out", tmp_path / "out", "--json").stdout)
    (table,) = answer["result"]["tables"]
    by_model = {entry["model"]: entry for entry in table["models"]}
    assert set(by_model["tagpool (linear)"]["mae"]) == {"max_speed", "building_count"}
    assert by_model["dummy (median)"]["score"] == pytest.approx(1.0)
    pairs = {(pair["a"]["model"], pair["b"]["model"]) for pair in table["comparisons"]}  # there is one model
    assert pairs >= {("tagpool (linear)", "dummy (median)")} or pairs >= {("dummy (median)", "tagpool (linear)")}
    assert all("dummy (median)" in pair for pair in pairs)
    made = workspace.find("reports", answer["artifact"])
    files = ["cost.csv", "cost.json", "report-1.png", "report.csv", "report.html", "report.json", "report.md"]
    assert sorted(made.manifest["files"]) == files
    assert {ref.partition("/")[0] for ref in made.inputs} == {"probes", "processed"}
    for name in made.manifest["files"]:
        assert (tmp_path / "out" / name).read_bytes() == made.file(name).read_bytes()
    assert "| tagpool (linear) |" in (tmp_path / "out/report.md").read_text(encoding="utf-8")
    again = invoke("report")
    assert "is up to date, skipping" in again.stderr and "tagpool (linear)" in again.stdout


def test_models_are_compared_in_pairs_and_few_groups_give_no_claim(workspace: Workspace, invoke: Invoke) -> None:
    for task in ("building_count", "max_speed"):
        stages.probe(workspace, task, masked=True, head="linear", without_shared=True)
    (table,) = json.loads(invoke("report", "--json").stdout)["result"]["tables"]
    printed = invoke("probe", "--task", "max_speed", "--masked", "--head", "linear").stdout
    assert "the two parts" in printed and "MAE of present" in printed
    names = ("a", "b")
    pairs = [one for one in table["comparisons"] if all(one[name]["model"] != "dummy (median)" for name in names)]
    pair, two_part = pairs
    assert two_part["tasks"] == ["max_speed"] and two_part["a"]["model"].endswith("(linear two-part)")
    models = {entry["model"]: entry["score"] for entry in table["models"]}
    assert {pair["a"]["model"], pair["b"]["model"]} == {"tagpool (linear)", "tagpool without shared (linear)"}
    assert pair["tasks"] == ["building_count", "max_speed"]
    assert pair["a"]["relative"] == pytest.approx(models[pair["a"]["model"]], rel=1e-4)
    assert pair["difference"]["value"] == pytest.approx(pair["a"]["relative"] - pair["b"]["relative"])
    assert 0 < pair["groups"] < 20 and pair["verdict"] == "no claim: fewer than 20 groups"
    printed = invoke("report").stdout
    assert "paired differences" in printed and "no claim" in printed


@pytest.mark.parametrize("name", ["report.json", "predictions.csv"])
@pytest.mark.parametrize("damage", ["garbage", "flipped", "shorter", "empty object"])
def test_a_damaged_probe_is_left_out_with_a_warning(
    workspace: Workspace, invoke: Invoke, name: str, damage: str
) -> None:
    file = workspace.find("probes", "max_speed.tagpool").file(name)
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[-20] ^= 1
    contents = {
        "garbage": b"{" * len(whole),
        "flipped": bytes(flipped),
        "shorter": whole[:-9],
        "empty object": b"{}" + b" " * (len(whole) - 2),
    }
    file.write_bytes(contents[damage])
    done = invoke("report", "--json")
    assert done.exception is None, done.exception
    assert set(json.loads(done.stdout)["result"]["tables"][0]["evaluations"]) == {"building_count"}
    assert "max_speed.tagpool@" in done.stderr and "probe --task max_speed" in " ".join(done.stderr.split())


def test_costs_are_those_of_timing_json_and_change_no_other_figure(workspace: Workspace, invoke: Invoke) -> None:
    def rebuild(seconds: float) -> Artifact:
        for made in workspace.artifacts("embeddings"):
            (made.path / "timing.json").write_text(json.dumps({"seconds": seconds, "device": "cpu"}))
        return workspace.find("reports", json.loads(invoke("report", "--json").stdout)["artifact"])

    slow = rebuild(20.0)
    tiles = sum(made.counts["tiles"] for made in workspace.artifacts("embeddings"))
    expected = {"tiles": tiles, "seconds": 40.0, "encoder_seconds": 0.0, "device": "cpu"}
    rate = float(f"{tiles / 40.0:.3g}")
    assert slow.read_json("cost.json") == {"tagpool": {"embedding": {**expected, "tiles_per_s": rate}}}
    fast = rebuild(2.0)
    assert fast.id != slow.id and rebuild(20.0).id == slow.id
    for name in ("report.json", "report.csv", "report-1.png"):
        assert fast.file(name).read_bytes() == slow.file(name).read_bytes()
    assert f"{10 * rate:g}" in fast.file("report.html").read_text(encoding="utf-8")
    workspace.remove(slow)
    again = rebuild(20.0)
    assert {name: entry["sha256"] for name, entry in again.manifest["files"].items()} == {
        name: entry["sha256"] for name, entry in slow.manifest["files"].items()
    }


def test_shared_entities_of_cross_validation_are_those_of_a_slow_loop(workspace: Workspace, invoke: Invoke) -> None:
    region = RegionStore(workspace.find("processed", "town").file("processed.h5"), "town")
    tokens = [row for row, reason in enumerate(piece_reasons(region).tolist()) if reason == 0]
    tile_of = np.repeat(np.arange(region.n_tiles), np.diff(region["tile/pieces"].astype(np.int64))).tolist()
    names = ["_".join(map(str, zxy)) for zxy in zip(*(region[f"tile/{axis}"].tolist() for axis in "zxy"), strict=True)]
    answer = json.loads(invoke("report", "--json").stdout)["result"]
    shown = {model["model"]: model["shared_entities"] for model in answer["tables"][0]["models"]}["tagpool (linear)"]
    assert set(shown) == {"building_count", "max_speed"}
    for task, share in shown.items():
        path = workspace.find("probes", f"{task}.tagpool").file("predictions.csv")
        with path.open(newline="", encoding="utf-8") as file:
            folds = {line["tile"]: line["fold"] for line in csv.DictReader(file) if line["kept"] == "1"}
        objects: dict[str, set[int]] = {}
        pieces = [(int(region["piece/object"][row]), names[tile_of[row]]) for row in tokens]
        pieces = [(item, folds[tile]) for item, tile in pieces if tile in folds]
        for item, fold in pieces:
            objects.setdefault(fold, set()).add(item)
        others = {fold: set().union(*(o for f, o in objects.items() if f != fold)) for fold in objects}
        shared = [item in others[fold] for item, fold in pieces]
        assert any(shared) and share == pytest.approx(sum(shared) / len(shared), abs=1e-4)


def test_a_report_without_the_regions_has_unknown_shares_and_no_pictures(workspace: Workspace, invoke: Invoke) -> None:
    workspace.remove(workspace.find("processed", "town"))
    done = invoke("report", "--json")
    table = json.loads(done.stdout)["result"]["tables"][0]
    assert {share for model in table["models"] for share in model["shared_entities"].values()} == {None}
    made = workspace.find("reports", "all")
    assert "no picture" in made.file("report.html").read_text(encoding="utf-8")
    assert "has no pictures of `town@" in " ".join(done.stderr.split())


def test_a_workspace_whose_probes_are_all_damaged_has_no_report(workspace: Workspace, invoke: Invoke) -> None:
    for probe in workspace.artifacts("probes"):
        file = probe.file("report.json")
        file.write_bytes(b"[" * file.stat().st_size)
    done = invoke("report")
    assert isinstance(done.exception, DataError)
    assert "probe --task max_speed --region town --masked --model tagpool --head linear" in str(done.exception.hint)
    assert workspace.artifacts("reports") == []


def test_a_folder_that_cannot_be_written_is_an_error(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = invoke("report", "--out", tmp_path / "file")
    assert "cannot be written" in str(done.exception)
