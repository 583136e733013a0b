"""`geojepa probe-entities` on planted regions, with TagPool and an untrained model: no native binary."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from commandline import Run, artifact_names, invoke, output_of
from hint_commands import check_hint
from planted_entities import BUILDINGS, CLASSES, TASK, add_planted
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from synthetic_workspace import add_region

from geojepa_cli import Workspace, stages
from geojepa_cli.config.images import DRAWN_ATTRIBUTION, DRAWN_LABEL
from geojepa_cli.errors import DataError, NotFoundError, UsageError
from geojepa_cli.stages.embedding_model import Model, find_model
from geojepa_cli.stages.entity_probes import ENTITY_PROBES
from geojepa_cli.stages.model_labels import label_models
from geojepa_cli.workspace.kinds import rebuild_hint

FILES = ("report.json", "predictions.csv", "plot.png", "curve.png", "task.yaml")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two regions in which the shape of a building decides its class, a task, and an untrained model."""
    made = Workspace(tmp_path_factory.mktemp("probe-entities") / "workspace")
    alpha = add_planted(made, "alpha", "shape", 0, groups=10)
    add_planted(made, "beta", "shape", 1, groups=6, corner=(4600, 6400), first_id=10_000)
    (made.root / "planted.yaml").write_text(TASK)
    settings = {"train.max_steps": 1, "model.tag_dim": 16, "model.depth": 1, "model.embed_dim": 16}
    stages.pretrain(made, "tiny.yaml", alpha, settings, "net")
    return made


def command(workspace: Workspace, *more: object) -> tuple[object, ...]:
    return (
        "probe-entities",
        "--task",
        workspace.root / "planted.yaml",
        "--region",
        "alpha",
        "--seeds",
        "1",
        "--threads",
        "1",
        *more,
    )


def test_scores_are_those_of_the_predictions_and_the_text_shows_them(workspace: Workspace, run_here: Run) -> None:
    given = command(workspace, "--model", "net", "--context", "--alpha", "1")
    answer = json.loads(run_here(*given, "--json"))
    report = answer["result"]
    names = [score["model"] for score in report["scores"]]
    simple = ["shape", "neighbours", "tags, shape, neighbours", "boosted neighbours"]
    assert names == ["dummy", "net", "tagpool", *simple]
    made = workspace.find("entity_probes", answer["artifact"])
    rows = list(csv.DictReader(made.file("predictions.csv").open(newline="")))
    assert len(rows) == report["entities"] == 2 * 10 * BUILDINGS == report["entities_without_visible_tags"]
    true = [row["class"] for row in rows]
    for score in report["scores"]:
        predicted = [row[f"{score['model']}_class"] for row in rows]
        assert score["accuracy"]["value"] == pytest.approx(accuracy_score(true, predicted), abs=1e-5)
        probability = [float(row[f"{score['model']}_probability"]) for row in rows]
        assert min(probability) >= 0 and max(probability) <= 1 and score["spread"] is None
        assert score["balanced"]["value"] == pytest.approx(balanced_accuracy_score(true, predicted), abs=1e-5)
    by_name = {score["model"]: score["balanced"]["value"] for score in report["scores"]}
    assert by_name["shape"] > 0.95 and by_name["tagpool"] < 0.5
    assert len(report["differences"]) == 15 and report["groups"] == 10
    assert {one["class"] for one in report["classes"]} == set(CLASSES)
    assert all(one["tested"] == one["examples"] == one["entities_with_tag"] for one in report["classes"])
    shifts = {model: found[-1] for model, found in report["context"].items()}
    assert shifts["tagpool"]["surroundings"] == 0 and 0 < shifts["net"]["share"] < 1
    net = workspace.find("models", "net")
    scored = {score["model"]: (score["ref"], score["protocol"]) for score in report["scores"]}
    assert scored["net"] == (net.ref, "seen") and scored["tagpool"] == ("tagpool", "no pretraining")
    assert scored["shape"] == scored["dummy"] == (None, "no pretraining")
    assert 0 < report["protocols"][net.ref]["seen_groups"] <= 10 == report["protocols"][net.ref]["groups"]
    text = run_here(*given)
    for words in (
        "tagpool − shape",
        "recall by class",
        "120 of 120 tested entities have no visible tag",
        "surroundings",
        "tested zoom-14 groups during pretraining",
        "protocol `no pretraining`",
        "weight alpha of the entity alone",
    ):
        assert words in text


def test_the_same_seed_gives_the_same_bytes_and_the_rebuild_command_makes_the_same_artifact(
    workspace: Workspace, run_here: Run
) -> None:
    given = command(workspace, "--model", "tagpool", "--per-class", "30", "--seed", "3", "--alpha", "0.5")
    made = workspace.find("entity_probes", json.loads(run_here(*given, "--json"))["artifact"])
    before = {name: made.file(name).read_bytes() for name in FILES}
    assert set(before) == set(made.manifest["files"])
    hint = str(made.rebuild_hint())
    assert "--per-class 30" in hint and "--seed 3" in hint and f"--task {made.path / 'task.yaml'}" in hint
    check_hint(hint)
    assert "--seeds 1" in hint and "--alpha 0.5" in hint and "--alpha 0 " not in hint
    rest = {"model": "tagpool", "region": "alpha", "per_class": 30, "seed": 3, "seeds": 1, "alpha": [0.5]}
    assert stages.probe_entities(workspace, made.path / "task.yaml", **rest) == made
    shutil.rmtree(made.path)
    again = stages.probe_entities(workspace, workspace.root / "planted.yaml", **rest, threads=2)
    assert again.ref == made.ref and {name: again.file(name).read_bytes() for name in FILES} == before


def test_a_test_region_is_tested_and_not_trained_on(workspace: Workspace, run_here: Run) -> None:
    given = command(workspace, "--test-region", "beta", "--model", "tagpool")
    answer = json.loads(run_here(*given, "--json"))
    made = workspace.find("entity_probes", answer["artifact"])
    rows = list(csv.DictReader(made.file("predictions.csv").open(newline="")))
    assert {row["region"] for row in rows} == {"beta"} and len(rows) == 2 * 6 * BUILDINGS
    report = answer["result"]
    assert report["evaluation"] == "test regions" and report["groups"] == 6
    assert report["evaluation_description"].endswith("fewer than 20 groups: no claim")
    assert {score["model"]: score["accuracy"]["value"] for score in report["scores"]}["shape"] > 0.95
    hint = str(rebuild_hint("entity_probes", remains(made)))
    assert "--region alpha" in hint and "--test-region beta" in hint
    with pytest.raises(UsageError, match="`alpha` is a region to train on and a test region"):
        run_here(*command(workspace, "--test-region", "alpha", "--model", "tagpool"))


def test_the_protocol_of_a_test_region_is_that_of_its_own_tiles(workspace: Workspace) -> None:
    task = workspace.root / "planted.yaml"
    made = stages.probe_entities(workspace, task, "net", "alpha", test_region="beta", seeds=1)
    report = made.read_json("report.json")
    assert {score["model"]: score["protocol"] for score in report["scores"]}["net"] == "transfer"
    assert report["protocols"][workspace.find("models", "net").ref]["groups"] == 6


def test_models_that_count_tags_and_untrained_models_are_probed_under_their_marked_names(workspace: Workspace) -> None:
    settings = {"train.max_steps": 0, "model.tag_dim": 16, "model.depth": 1, "model.embed_dim": 16}
    stages.pretrain(workspace, "tiny.yaml", "alpha", settings, "untrained")
    stages.pretrain(workspace, "tag-ae.yaml", "alpha", {"train.max_steps": 1, "train.epochs": None}, "ae")
    task = workspace.root / "planted.yaml"
    made = stages.probe_entities(workspace, task, ["tag-counts", "untrained", "ae"], "alpha", seeds=1)
    scored = {score["model"]: score["accuracy"]["value"] for score in made.read_json("report.json")["scores"]}
    assert {"tag-counts", "untrained (first weights)", "ae"} <= set(scored)


def test_names_of_simple_baselines_are_not_free_and_an_older_model_with_one_keeps_its_row(workspace: Workspace) -> None:
    for name in ("dummy", "shape", "neighbours"):
        with pytest.raises(UsageError, match=f"`{name}` is the name of a baseline"):
            stages.pretrain(workspace, "tiny.yaml", "alpha", name=name)
    net = workspace.find("models", "net")
    with workspace.build("models", "shape", net.params, [workspace.find("processed", "alpha")]) as build:
        for file in net.manifest["files"]:
            (build.partial / file).write_bytes(net.file(file).read_bytes())
        old = build.publish()
    report = stages.probe_entities(workspace, workspace.root / "planted.yaml", old, "alpha", seeds=1).read_json(
        "report.json"
    )
    scored = {score["model"]: score["accuracy"]["value"] for score in report["scores"]}
    assert scored["shape"] > 0.95 and scored[f"shape@{old.id}"] < 0.9


def test_models_that_read_drawn_images_are_marked(workspace: Workspace) -> None:
    net = find_model(workspace, "net")
    with workspace.build("images", "drawn", {}, []) as build:
        drawn = build.publish(attribution=[DRAWN_ATTRIBUTION])
    assert label_models([net, Model("tagpool")], [[None, drawn], []]) == [f"net ({DRAWN_LABEL})", "tagpool"]
    other = Model("net", workspace.find("models", "net"), file="weights-best.safetensors")
    assert label_models([net, other], [[], []]) == [net.ref, other.ref]


def test_a_skipped_context_ratio_is_a_warning(workspace: Workspace) -> None:
    done = invoke(workspace, *command(workspace, "--model", "polygon-gnn", "--context"))
    assert "`--context` is skipped for `polygon-gnn`" in " ".join(done.stderr.split()), done.output
    assert "share of surroundings" in " ".join(done.stdout.split())  # of TagPool


def test_the_rebuild_command_names_the_file_of_a_task_that_differs_from_the_packed_one(
    workspace: Workspace, tmp_path: Path
) -> None:
    own = tmp_path / "building_class.yaml"
    own.write_text(TASK.replace("name: planted", "name: building_class"))
    made = stages.probe_entities(workspace, own, "tagpool", "alpha", seeds=1)
    assert f"--task {made.path / 'task.yaml'}" in str(made.rebuild_hint())


def test_a_limit_that_leaves_too_few_training_examples_is_named_with_a_larger_one(
    workspace: Workspace, run_here: Run
) -> None:
    for limit in (19, 22):  # below `min_examples`; above it, but not in four fifths of the groups
        with pytest.raises(UsageError, match=f"`--per-class {limit}`: ") as caught:
            run_here(*command(workspace, "--model", "tagpool", "--per-class", str(limit)))
        assert "--per-class 1000" in str(caught.value.hint)


def test_classes_that_are_left_out_are_printed_with_their_examples(tmp_path: Path) -> None:
    made = Workspace(tmp_path / "workspace")
    rarely = lambda number, name: "yes" if name == "garage" and number % 3 else name  # noqa: E731
    add_planted(made, "town", "shape", 0, groups=40, value_of=rarely)
    (tmp_path / "planted.yaml").write_text(TASK.replace("min_examples: 20", "min_examples: 14"))
    given = (
        "probe-entities",
        "--task",
        tmp_path / "planted.yaml",
        "--hide",
        "probed",
        "--model",
        "tagpool",
        "--seeds",
        "1",
    )
    report = json.loads(output_of(made, *given, "--json"))["result"]
    ((name, counts),) = report["rare_classes_left_out"].items()
    assert name == "garage" and 0 < counts["examples"] < counts["entities_with_tag"] / 2
    shown = f"garage ({counts['examples']} examples of {counts['entities_with_tag']} entities)"
    assert shown in " ".join(output_of(made, *given).split())


def remains(made: object) -> object:
    from geojepa_cli.workspace.artifact import Artifact
    from geojepa_cli.workspace.kinds import Remains

    assert isinstance(made, Artifact)
    return Remains(made.name, made.params, made.inputs, made.path)


def test_neighbours_keep_their_tags_where_only_the_probed_entities_hide_theirs(tmp_path: Path) -> None:
    made = Workspace(tmp_path / "workspace")
    region = add_planted(made, "town", "neighbours", 2, groups=30, trees=False)  # only buildings show the class
    task = tmp_path / "planted.yaml"
    task.write_text(TASK.replace("min_examples: 20", "min_examples: 5"))
    accuracies = {}
    for hide in ("all", "probed"):
        report = stages.probe_entities(made, task, "tagpool", region, hide=hide, seeds=1).read_json("report.json")
        accuracies[hide] = {score["model"]: score["accuracy"]["value"] for score in report["scores"]}["neighbours"]
        assert report["entities"] == 2 * 30 * BUILDINGS if hide == "all" else report["entities"] < 30 * BUILDINGS
    assert accuracies["all"] < 0.6 and accuracies["probed"] > 0.85


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- 1", "is not the definition of an entity task"),
        (TASK.replace("kinds: [area]", ""), "lacks the key `kinds`"),
        (TASK.replace("kinds", "kind"), "unknown key `kind`; did you mean `kinds`?"),
        (TASK.replace("key: building", "key: 'building=*'"), "expected one key of OpenStreetMap"),
        (TASK.replace("[area]", "[polygon]"), "`kinds.0`"),
        (TASK + "bins: [1, 2]\n", "`read` and `bins` must be given together"),
        (TASK + "classes: {a: [b]}\n", "only one of `classes`, `ignore` and `bins`"),
        (TASK.replace("20", "1"), "`min_examples`"),
    ],
)
def test_a_wrong_definition_is_a_usage_error_in_words(
    workspace: Workspace, run_here: Run, tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "wrong.yaml").write_text(text)
    with pytest.raises(UsageError) as caught:
        run_here("probe-entities", "--task", tmp_path / "wrong.yaml", "--region", "alpha", "--model", "tagpool")
    assert says in caught.value.message and caught.value.hint is not None


def test_wrong_arguments_are_refused_before_anything_is_computed(workspace: Workspace, run_here: Run) -> None:
    before = artifact_names(workspace.root)
    alpha = ("--region", "alpha", "--model", "tagpool")
    for given, error, says in (
        (("--task", "building_clas", *alpha), NotFoundError, "did you mean `building_class`?"),
        (("--task", "nothing.yaml", *alpha), NotFoundError, "task file `nothing.yaml` not found"),
        (("--task", "building_class", "--hide", "some", *alpha), UsageError, "expected `all` or `probed`"),
        (("--task", "building_class", "--per-class", "0", *alpha), UsageError, "`--per-class 0`: expected 1 to"),
        (("--task", "building_class", "--region", "alpha", "--model", "nett"), NotFoundError, "did you mean `net`?"),
        (("--task", "road_class", *alpha), DataError, "the tag `highway=*` of the task `road_class` occurs nowhere in"),
        (("--task", "building_class", "--leave-out", "tiles", *alpha), UsageError, "expected `regions` or `groups`"),
        (("--task", "building_class", "--leave-out", "regions", *alpha), UsageError, "`alpha` is the only one"),
        (("--task", "building_class", "--alpha", "1.5", *alpha), UsageError, "`--alpha 1.5`: expected a number from 0"),
        (("--task", "building_class", "--seeds", "0", *alpha), UsageError, "`--seeds 0`: expected 1 to 100"),
        (("--task", "building_class", "--per-class", "9", *alpha), UsageError, "`--per-class 9`: expected at least"),
        (("--task", "building_class", *alpha), DataError, "0 of 3 classes of `building_class` have"),
    ):
        with pytest.raises(error) as caught:
            run_here("probe-entities", *given)
        assert says in caught.value.message, caught.value.message
        check_hint(str(caught.value.hint))
    assert artifact_names(workspace.root) == before


def test_an_entity_probe_does_not_disturb_the_report_of_tile_probes(tmp_path: Path) -> None:
    made = Workspace(tmp_path / "workspace")
    region = add_region(made, "town", 0, 120)
    stages.build_tasks(made, region, "building_count")
    task = tmp_path / "planted.yaml"
    task.write_text(TASK.replace("[area]", "[area, line]").replace("min_examples: 20", "min_examples: 5"))
    probed = stages.probe_entities(made, task, "tagpool", region, seeds=1)
    assert np.isfinite([one["accuracy"]["value"] for one in probed.read_json("report.json")["scores"]]).all()
    stages.probe(made, "building_count", "tagpool", head="linear")
    assert probed.full_ref not in stages.report(made).inputs
    assert ENTITY_PROBES.kind == probed.kind and not probed.verify()
