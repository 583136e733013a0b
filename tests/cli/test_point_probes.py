"""`geojepa probe --retrieval entity-image` and `geojepa probe --offset` on random regions with images."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import Run, call, invoke, refused
from hint_commands import check_hint
from synthetic_workspace import add_region

from geojepa_cli import Workspace, stages
from geojepa_cli.errors import NotFoundError
from geojepa_cli.stages.point_probes import POINT_PROBES
from geojepa_cli.stages.probe_regions import region_groups
from geojepa_cli.tasks.splits import fold_groups
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.kinds import Remains, rebuild_hint

SMALL: dict[str, object] = {
    **{"model.tag_dim": 16, "model.embed_dim": 16, "model.depth": 1, "model.num_heads": 2, "model.patch_px": 56},
    **{"model.decoder_dim": 8, "model.location_features": 4, "model.location_dim": 8, "model.location_layers": 1},
    **{"ground.queries": 32, "loss.queue": 50, "train.batch_tokens": 400, "train.max_steps": 1},
}
FILES = {"report.json", "scores.csv", "queries.csv"}
SPLIT = 3  # seed of a split with test groups in the region `ash`
FOLDS = 10
FOLD: dict[str, object] = {"data.fold": 9, "data.folds": FOLDS}  # one group at a corner of the region `ash`
READINGS = ["at point", "nearest cell", "tile mean", "centre patch", "place", "first weights"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two regions, of which two GAIR models saw one, and a GeoJEPA model."""
    made = Workspace(tmp_path_factory.mktemp("points") / "workspace")
    add_region(made, "elm", seed=1, n_tiles=60, with_images=True)
    add_region(made, "ash", seed=2, n_tiles=80, corner=(19000, 25000), with_images=True)
    tiny = {"train.max_steps": 1, "model.tag_dim": 16, "model.depth": 1, "model.embed_dim": 16}
    stages.pretrain(made, "tiny.yaml", "elm", tiny, "net")
    noisy = {"model.decoder": "centre", "ground.coordinate_noise_m": 20, "data.split_seed": SPLIT}
    stages.pretrain(made, "gair.yaml", "ash", SMALL | noisy, "centre")
    stages.pretrain(made, "gair.yaml", "elm", SMALL | {"data.exclude_test_groups": False}, "mlp")
    return made


def answer(workspace: Workspace, run_here: Run, *words: object) -> tuple[dict[str, Any], Artifact]:
    found = json.loads(run_here("probe", *words, "--threads", "1", "--json"))
    assert found["schema"] == 1 and found["command"] == "probe"
    return found["result"], workspace.find("point_probes", found["artifact"])


def lines(made: Artifact, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(made.file(name).open(newline="")))


def test_searches_are_tested_with_all_readings_and_their_protocol(workspace: Workspace, run_here: Run) -> None:
    found, made = answer(workspace, run_here, "--retrieval", "entity-image", "--model", "mlp", "--region", "ash")
    assert made.name == "entity-image.mlp" and set(made.manifest["files"]) == FILES
    assert found["models"]["mlp"] == {
        **{"ref": workspace.find("models", "mlp").ref, "protocol": "transfer"},
        **{"decoder": "mlp", "coordinate_noise_m": 0.0},
    }
    assert len(found["searches"]) == 4
    queries, scores = lines(made, "queries.csv"), lines(made, "scores.csv")
    assert len(scores) == 4 * 3 * (1 + len(READINGS))
    for one in found["searches"]:
        assert [score["reading"] for score in one["scores"]] == READINGS and one["groups"] > 3
        own = [line for line in queries if (line["search"], line["scope"]) == (one["search"], one["scope"])]
        assert len(own) == one["queries"] > 50
        for score in one["scores"]:
            for figure in ("recall_1", "recall_10", "reciprocal_rank"):
                values = [float(line[f"mlp ({score['reading']}) {figure}"]) for line in own]
                assert score[figure]["value"] == pytest.approx(sum(values) / len(values), abs=1e-4)
                assert score[figure]["low"] <= score[figure]["value"] <= score[figure]["high"]
    region = workspace.find("processed", "ash")
    assert found["regions"] == [region.ref] and 20 < found["tiles"] < 45  # half of the tiles have an image
    shown = run_here("probe", "entity-image", "--retrieval", "--model", "mlp", "--region", "ash")
    for text in ("points to tags", "random order", "centre patch", "protocol `transfer`", "no claim"):
        assert text in shown


def test_curves_of_several_models_are_compared_in_one_artifact(workspace: Workspace, run_here: Run) -> None:
    words = ("--offset", "--model", "mlp", "--model", "centre", "--region", "elm", "--region", "ash")
    found, made = answer(workspace, run_here, *words)
    assert made.name == "offset.mlp" and set(made.manifest["files"]) == {*FILES, "plot.png"}
    assert found["distances_m"] == [0, 5, 10, 20, 34, 50, 68, 100, 160]
    about = found["models"]
    assert (about["centre"]["decoder"], about["centre"]["coordinate_noise_m"]) == ("centre", 20.0)
    scores = {(one["model"], one["reading"]): one for one in found["scores"]}
    assert set(scores) == {(name, reading) for name in ("mlp", "centre") for reading in ("at point", "first weights")}
    flat = scores["centre", "at point"]["recall_1"]
    assert len({one["value"] for one in flat["curve"]}) == 1 and flat["spearman"] is None
    assert len({one["value"] for one in scores["mlp", "at point"]["reciprocal_rank"]["curve"]}) > 1
    (last,) = [one for one in found["differences"] if one["a"]["model"] != one["b"]["model"]]
    at_0 = [scores[name, "at point"]["recall_1"]["curve"][0]["value"] for name in ("mlp", "centre")]
    assert last["recall_1"][0]["value"] == pytest.approx(at_0[0] - at_0[1], abs=1e-5)
    assert found["moved_points"] > found["queries"] == len(lines(made, "queries.csv"))
    assert len(lines(made, "scores.csv")) == 4 * 2 * 9
    shown = run_here("probe", *words)
    assert "recall@1 against distance" in shown and "mlp − centre" in shown


def test_groups_that_no_model_saw_are_tested_if_there_are_any(workspace: Workspace, run_here: Run) -> None:
    found, _ = answer(workspace, run_here, "--retrieval", "entity-image", "--model", "centre", "--region", "ash")
    assert found["models"]["centre"]["protocol"] == "seen neighbours"
    seen, _ = answer(workspace, run_here, "--retrieval", "entity-image", "--model", "mlp", "--region", "elm")
    assert seen["models"]["mlp"]["protocol"] == "seen"
    assert found["tested_groups"] < seen["tested_groups"]


def test_the_fold_that_pretraining_left_out_is_tested(workspace: Workspace, run_here: Run) -> None:
    model = stages.pretrain(workspace, "gair.yaml", "ash", SMALL | FOLD, "folded")
    found, _ = answer(workspace, run_here, "--offset", "--model", "folded", "--region", "ash")
    groups = fold_groups(np.unique(region_groups(workspace.find("processed", "ash"))), FOLDS, 0)
    assert found["models"]["folded"]["protocol"] == "unseen groups"
    assert found["tested_groups"] == (groups == FOLD["data.fold"]).sum()
    workspace.remove(model)  # the other tests use the newest model


def test_fewer_tiles_are_whole_groups_that_the_seed_draws(workspace: Workspace, run_here: Run) -> None:
    words = ("--retrieval", "entity-image", "--model", "mlp", "--region", "ash", "--tiles", "9")
    some, _ = answer(workspace, run_here, *words)
    other, _ = answer(workspace, run_here, *words, "--seed", "1")
    every, _ = answer(workspace, run_here, *words[:-2])
    assert 9 <= some["tiles"] < every["tiles"] and some["tested_groups"] < every["tested_groups"]
    assert other["searches"] != some["searches"]


def test_the_newest_gair_model_and_unseen_regions_are_the_default_and_results_are_reused(workspace: Workspace) -> None:
    first = stages.probe_entity_image(workspace)
    assert (
        first.name == "entity-image.mlp" and first.read_json("report.json")["models"]["mlp"]["protocol"] == "transfer"
    )
    done = invoke(workspace, "probe", "--retrieval", "entity-image")
    assert "up to date, skipping" in done.output and "newest GAIR model" in done.output
    assert stages.probe_entity_image(workspace, "mlp", "ash", threads=2) == first


@pytest.mark.parametrize("words", [("--retrieval", "entity-image"), ("--offset",)])
def test_the_hint_for_a_damaged_artifact_makes_the_same_artifact(
    workspace: Workspace, run_here: Run, words: tuple[str, ...]
) -> None:
    _, made = answer(workspace, run_here, *words, "--model", "mlp", "--region", "elm", "--tiles", "20", "--seed", "3")
    before = made.file("report.json").read_bytes()
    hint = str(made.rebuild_hint())
    shutil.rmtree(made.path)
    check_hint(hint)
    run_here(*hint.split()[3:])
    again = workspace.find("point_probes", made.ref)
    assert again.id == made.id and again.file("report.json").read_bytes() == before


def test_the_command_is_known_even_if_the_manifest_is_lost(tmp_path: Path) -> None:
    offset = rebuild_hint("point_probes", Remains("offset.gair", workspace=tmp_path))
    searches = rebuild_hint("point_probes", Remains("entity-image.gair", workspace=tmp_path))
    assert "probe --offset" in str(offset) and "probe entity-image --retrieval" in str(searches)
    assert POINT_PROBES.kind == "point_probes"


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ("max_speed", "unexpected argument `max_speed`", "--task max_speed"),
        ("entity-image", "`entity-image` requires `--retrieval`", "entity-image --retrieval"),
        ("entity-image --offset", "`entity-image` cannot be combined with `--offset`", "--offset"),
        ("--offset --retrieval", "`--retrieval` cannot be combined with `--offset`", "--offset"),
        ("--offset --masked", "`--masked` cannot be combined with `--offset`", "--offset"),
        (
            "entity-image --retrieval --k 3 --region ash",
            "`--k` cannot be combined with `entity-image`",
            "entity-image --retrieval --region ash",
        ),
        ("--retrieval --tiles 3", "`--tiles` cannot be combined with `--retrieval`", "--retrieval"),
    ],
)
def test_options_of_other_probes_are_refused(words: str, message: str, hint: str, tmp_path: Path) -> None:
    done = call("probe", *words.split(), cwd=tmp_path)
    assert done.returncode == 2 and message in done.stderr
    assert done.stderr.rstrip().endswith(f"hint: geojepa probe {hint}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--model", "net"), "`net` does not read images at points"),
        (("--model", "tagpool"), "`tagpool` does not read images at points"),
        (("--tiles", "0"), "`--tiles 0`: expected 1 to"),
        (("--region", "asch"), "asch"),
    ],
)
def test_other_models_and_wrong_values_are_refused(workspace: Workspace, words: tuple[str, ...], message: str) -> None:
    assert message in refused(workspace, "probe", "--offset", *words).message


def test_a_workspace_without_gair_models_or_images_names_what_makes_them(tmp_path: Path, workspace: Workspace) -> None:
    place = Workspace(tmp_path / "workspace")
    add_region(place, "oak", seed=1, n_tiles=20)
    with pytest.raises(NotFoundError, match="there is no GAIR model") as caught:
        stages.probe_offset(place)
    assert "pretrain --config gair.yaml" in str(caught.value.hint)
    shutil.copytree(workspace.find("models", "mlp").path, place.root / "models" / workspace.find("models", "mlp").ref)
    with pytest.raises(NotFoundError, match="there are no images"):
        stages.probe_offset(place)
