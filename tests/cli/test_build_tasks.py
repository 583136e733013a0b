"""`geojepa build-tasks` as a user runs it, on a small workspace of random artifacts."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commandline import artifact_names, call, run_main
from synthetic_workspace import add_region, new_workspace

from geojepa_cli.grid import tile_bounds
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.tasks.spec import find_task

PARK = """
name: park_area
title: parks
label: {kind: sum, of: area_m2, tags: [landuse=grass], unit: m²}
mask: {entities: [landuse=grass]}
keep_zero: 0.5
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("build-tasks")
    add_region(new_workspace(folder / "workspace"), "north", seed=1)
    add_region(new_workspace(folder / "workspace"), "south", seed=2, corner=(18048, 25990))
    return folder


def test_all_five_tasks_are_made_for_every_region_and_a_second_run_says_so(folder: Path) -> None:
    first = call("build-tasks", "--region", "north", "--region", "south", cwd=folder)
    assert first.returncode == 0, first.stderr
    for word in ("bridge", "max_speed", "AUROC", "train/val/test", "test_unthinned", "leakage", "dropped"):
        assert word in first.stdout
    assert "test groups" in first.stderr
    made = [name for name in artifact_names(folder / "workspace") if name.startswith("tasks/")]
    assert len(made) == 10
    again = call("build-tasks", "--region", "north", "--region", "south", cwd=folder)
    assert again.stderr.count("is up to date, skipping") == 10
    for name in made:
        assert f"{name} is up to date, skipping" in again.stderr and f"{name}: workspace/{name}" in again.stdout
    assert again.stdout == first.stdout
    assert [name for name in artifact_names(folder / "workspace") if name.startswith("tasks/")] == made


def test_json_answers_hold_the_report(folder: Path) -> None:
    answer = json.loads(run_main("build-tasks", "--region", "north", "--task", "bridge", "--json", cwd=folder))
    assert answer["command"] == "build-tasks"
    assert answer["artifact"].startswith("north.bridge@")
    result = answer["result"]
    assert sum(part["tiles"] for part in result["splits"].values()) == result["tiles"]["kept"]
    for part in (*result["splits"].values(), result["test_unthinned"]):
        assert sum(count for _, count in part["histogram"]) == part["tiles"]
    assert result["strongest"]["measure"] == "auroc"


def test_json_of_several_artifacts_is_one_document_with_a_list(folder: Path) -> None:
    command = ["build-tasks", "--region", "north", "--region", "south", "--task", "bridge", "--task", "max_speed"]
    answer = json.loads(run_main(*command, "--json", cwd=folder))
    assert set(answer) == {"schema", "command", "artifact", "result"}
    names = [ref.partition("@")[0] for ref in answer["artifact"]]
    assert names == ["north.bridge", "south.bridge", "north.max_speed", "south.max_speed"]
    assert [result["task"] for result in answer["result"]] == ["bridge", "bridge", "max_speed", "max_speed"]


def test_another_task_with_the_name_of_a_packed_one_gives_a_warning(folder: Path) -> None:
    (folder / "mine.yaml").write_text(PARK.replace("park_area", "bridge"))
    output = call("build-tasks", "--region", "south", "--task", "mine.yaml", cwd=folder).stderr
    assert "`mine.yaml` has the same name as the task `bridge` of geojepa" in output
    same = find_task("car_bridge").to_yaml()
    (folder / "same.yaml").write_text(same)
    output = call("build-tasks", "--region", "south", "--task", "same.yaml", cwd=folder).stderr
    assert "has the same name" not in output


def test_limits_that_leave_no_tile_are_refused_with_those_that_would_leave_some(folder: Path) -> None:
    done = call("build-tasks", "--region", "north", "--min-entities", "5000", "--max-entities", "9000", cwd=folder)
    assert done.returncode == 1 and done.stdout == ""
    assert "no tile of the region `north` has 5,000 to 9,000 entities: the " in done.stderr
    wider = done.stderr.split("hint: ")[1].split()
    assert wider[:2] == ["geojepa", "build-tasks"]
    assert run_main(*wider[1:], "--task", "bridge", cwd=folder)


def test_a_task_is_built_from_its_file(folder: Path) -> None:
    (folder / "park.yaml").write_text(PARK)
    answer = json.loads(run_main("build-tasks", "--region", "north", "--task", "park.yaml", "--json", cwd=folder))
    assert answer["artifact"].startswith("north.park_area@")
    assert answer["result"]["mask"]["entities masked whole"] > 0
    assert answer["result"]["strongest"]["measure"] == "spearman"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--region", "north", "--task", "max_sped"], "did you mean `max_speed`"),
        (["--region", "nort"], "`north`"),
        (["--region", "north", "--task", "missing.yaml"], "task file `missing.yaml` not found"),
        (["--region", "north", "--task", "bomb.yaml"], "merge keys (`<<`) are not supported"),
        (["--region", "north", "--task", "deep.yaml"], "levels deep"),
        (["--region", "north", "--task", "huge.yaml"], "a number of 5,000 characters"),
        (["--region", "north", "--seed", str(2**63)], "--seed"),
        (["--region", "north", "--seed", "-1"], "--seed"),
        (["--region", "north@"], "no id after the `@`"),
        (["--region", "north", "--min-entities", "9", "--max-entities", "8"], "--min-entities 9"),
        ([], "choose one with"),
    ],
)
def test_wrong_arguments_are_refused_with_exit_code_2_and_nothing_is_made(
    folder: Path, arguments: list[str], says: str
) -> None:
    merges = "".join(f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * 20)}]}}\n" for i in range(1, 9))
    (folder / "bomb.yaml").write_text("m0: &m0 {a: 1}\n" + merges)
    (folder / "deep.yaml").write_text("name: " + "[" * 1000)
    (folder / "huge.yaml").write_text(PARK.replace("0.5", "9" * 5000))
    before = artifact_names(folder / "workspace")
    done = call("build-tasks", *arguments, cwd=folder)
    assert done.returncode == 2
    assert says in done.stderr
    assert artifact_names(folder / "workspace") == before


def test_the_tasks_of_a_small_town_are_built_although_a_split_is_empty(shared: Path, tmp_path: Path) -> None:
    # the centre of Helsinki, 4 by 4 km: six groups, none of them in `val`
    run_main("fetch", "--pbf", shared / "osm/helsinki-center.osm.pbf", "--name", "town", cwd=tmp_path)
    run_main("tile", "--region", "town", "--bbox", "24.92,60.155,24.99,60.19", cwd=tmp_path)
    run_main("process", "--region", "town", "--text-encoder", "none", cwd=tmp_path)
    done = call("build-tasks", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = {result["task"]: result["splits"] for result in json.loads(done.stdout)["result"]}
    assert len(results) == 5
    assert all(splits["val"]["tiles"] == 0 < splits["train"]["tiles"] for splits in results.values())
    warned = [line for line in done.stderr.splitlines() if "is in `val`" in line]
    refused = {task for task in results if f"`probe` cannot use the task `{task}`" in done.stderr}
    assert refused == {"car_bridge"}  # too few tiles are left after thinning
    assert len(warned) == 1 and all(f"`{task}`" in warned[0] for task in results.keys() - refused)
    assert "`probe` cross-validates over groups" in warned[0]
    assert "is in `val`" in call("build-tasks", cwd=tmp_path).stderr  # found, and warned of again


def test_masks_that_leave_nothing_and_rules_that_match_nothing_give_a_warning(folder: Path) -> None:
    (folder / "all.yaml").write_text(PARK.replace("entities: [landuse=grass]", 'tags: ["*"]').replace("park_", "all_"))
    command = ["build-tasks", "--region", "north", "--task"]
    for _ in range(2):  # made, and found
        output = call(*command, "all.yaml", cwd=folder)
        assert "the mask of task `all_area` (`mask` in its definition) hides all entities of all tiles" in output.stderr
    (folder / "none.yaml").write_text("name: none_such\ntitle: t\nlabel: {kind: count, tags: [no_such_key]}\n")
    output = call(*command, "none.yaml", cwd=folder)
    assert "every tile of task `none_such` has the label 0" in output.stderr and "hides" not in output.stderr
    (folder / "most.yaml").write_text(PARK.replace("[landuse=grass]", "[highway, building]").replace("park_", "most_"))
    answer = json.loads(run_main(*command, "most.yaml", "--min-entities", "1", "--json", cwd=folder))
    emptied = answer["result"]["mask"]["tiles emptied"]
    assert 0 < emptied < answer["result"]["tiles"]["eligible"]
    output = call(*command, "most.yaml", "--min-entities", "1", cwd=folder).stderr
    assert f"the mask of task `most_area` (`mask` in its definition) hides all entities of {emptied} of" in output
    assert "hides" not in call(*command, "building_count", cwd=folder).stderr


def test_folds_and_buffer_are_counted_in_report_and_tables(folder: Path) -> None:
    command = ["build-tasks", "--region", "north", "--region", "south", "--task", "max_speed"]
    output = run_main(*command, "--folds", "2", "--buffer", cwd=folder)
    assert "train/val/test/buffer" in output and "tiles / zoom-14 groups" in output
    for result in json.loads(run_main(*command, "--folds", "2", "--buffer", "--json", cwd=folder))["result"]:
        assert result["split"] == {"by": "group", "seed": 0, "folds": 2, "buffer": True}
        assert result["leakage"]["used"] == "folds with buffer"
        assert sum(part["tiles"] for part in result["folds"]) == result["tiles"]["kept"]
        assert sum(part["tiles"] for part in result["splits"].values()) == result["tiles"]["kept"]
        shares = {name: split["shared_tokens"] for name, split in result["leakage"]["splits"].items()}
        assert shares["group with buffer"] <= shares["group"] and shares["folds with buffer"] <= shares["folds"]


def test_a_random_split_is_marked_wherever_its_scores_are_shown(tmp_path: Path) -> None:
    add_region(new_workspace(tmp_path / "workspace"), "r", n_tiles=150)
    grouped = json.loads(run_main("build-tasks", "--task", "building_count", "--json", cwd=tmp_path))
    done = call("build-tasks", "--task", "building_count", "--split", "random", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "RANDOM SPLIT" in done.stderr and "tasks (RANDOM SPLIT)" in done.stdout
    answer = json.loads(run_main("build-tasks", "--task=building_count", "--split=random", "--json", cwd=tmp_path))
    assert answer["artifact"] != grouped["artifact"]
    assert "RANDOM SPLIT" in answer["result"]["warnings"][0]
    leak = answer["result"]["leakage"]
    assert leak["used"] == "random" and leak["splits"] == grouped["result"]["leakage"]["splits"]
    probed = call("probe", "--task", "building_count", "--head", "linear", cwd=tmp_path)
    assert probed.returncode == 0, probed.stderr
    assert "RANDOM SPLIT" in probed.stdout and "RANDOM SPLIT" in probed.stderr
    run_main("build-tasks", "--task", "building_count", cwd=tmp_path)  # the newest again
    assert "RANDOM" not in run_main("probe", "--task", "building_count", "--head", "linear", cwd=tmp_path)
    tables = json.loads(run_main("report", "--out", tmp_path / "out", "--json", cwd=tmp_path))["result"]["tables"]
    assert all(pair["verdict"].startswith("no claim") for table in tables for pair in table["comparisons"])
    assert [table["random"] for table in tables] == [False, True]
    page = (tmp_path / "out/report.md").read_text()
    assert "(RANDOM SPLIT)" in page and "scores are too good" in page


def test_filters_of_tiles_are_counted_and_part_of_the_id(tmp_path: Path) -> None:
    add_region(new_workspace(tmp_path / "workspace"), "r", n_tiles=120, with_images=True)
    command = ["build-tasks", "--task", "building_count"]
    whole = json.loads(run_main(*command, "--json", cwd=tmp_path))
    imaged = json.loads(run_main(*command, "--with-imagery", "--json", cwd=tmp_path))
    west, south, east, north = tile_bounds(16, 18052, 25960)
    box = f"--bbox={west},{south},{east + 0.02},{north + 0.02}"
    boxed = json.loads(run_main(*command, box, "--json", cwd=tmp_path))
    assert len({answer["artifact"] for answer in (whole, imaged, boxed)}) == 3
    for answer, reason in ((imaged, "tiles without an image"), (boxed, "tiles outside the bounding box")):
        counts, tiles = answer["result"]["views"]["masked"], answer["result"]["tiles"]
        assert 0 < tiles["within_limits"] < whole["result"]["tiles"]["within_limits"]
        dropped = sum(count for why, count in counts.items() if why.startswith("tiles") and "label" not in why)
        assert counts[reason] > 0 and tiles["within_limits"] + dropped == tiles["all"]
    assert imaged["result"]["views"]["masked"]["tiles without an image"] == 60
    assert "tiles outside the bounding box" in run_main(*command, box, cwd=tmp_path)


def test_a_probe_of_filtered_tiles_finds_their_vectors(tmp_path: Path) -> None:
    add_region(new_workspace(tmp_path / "workspace"), "r", n_tiles=150, with_images=True)
    run_main("build-tasks", "--task", "building_count", "--with-imagery", cwd=tmp_path)
    for variant in ([], ["--masked"]):
        output = run_main("probe", "--task", "building_count", "--head", "linear", *variant, cwd=tmp_path)
        assert "cross-validation" in output


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--with-imagery"], 2, "has no images"),
        (["--bbox", "0,0,1,1"], 1, "tiles outside the bounding box"),
        (["--bbox", "1,2,3"], 2, "is not a bounding box"),
        (["--split", "rows"], 2, "unknown split `rows`"),
        (["--folds", "1"], 2, "expected 2 to 20"),
        (["--split", "random", "--buffer"], 2, "cannot be combined with `--split random`"),
    ],
)
def test_wrong_filters_and_splits_are_refused(folder: Path, arguments: list[str], code: int, says: str) -> None:
    before = artifact_names(folder / "workspace")
    done = call("build-tasks", "--region", "north", *arguments, cwd=folder)
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr and "hint: " in done.stderr
    assert artifact_names(folder / "workspace") == before


def test_unreadable_values_are_shown_with_their_counts(folder: Path) -> None:
    (folder / "names.yaml").write_text("name: names\ntitle: n\nlabel: {kind: max, read: number, tags: [name]}\n")
    done = call("build-tasks", "--region", "north", "--task", "names.yaml", cwd=folder)
    assert done.returncode == 0 and "no tile of task `names` has a label" in done.stderr  # no name is a number
    assert "names: OSM elements by notation of the value: unreadable" in done.stdout
    assert "`Main Street` (" in done.stdout


def test_analyze_lists_informative_tags_marks_hidden_ones_and_plots_them(folder: Path) -> None:
    command = ["build-tasks", "--region", "north", "--region", "south", "--analyze", "building_count"]
    output = run_main(*command, cwd=folder)
    for word in ("building=yes", "hidden", "left", "lift", "bits", "cooccurrence.png"):
        assert word in output
    answer = json.loads(run_main(*command, "--json", cwd=folder))
    assert answer["artifact"].startswith("north+1.building_count.analysis@")
    made = folder / "workspace/tasks" / answer["artifact"]
    assert json.loads((made / "analysis.json").read_text()) == answer["result"]
    assert (made / "cooccurrence.png").is_file() and (made / "statistics.png").is_file()
    masks = {entry["tag"]: entry["mask"] for entry in answer["result"]["within"]}
    assert masks["building=yes"] == "hidden"
    assert {entry["mask"] for entry in answer["result"]["between"]} >= {"left"}


def test_analyze_takes_a_file_and_refuses_too_few_tiles(folder: Path, tmp_path: Path) -> None:
    (folder / "park2.yaml").write_text(PARK)
    assert "park_area" in run_main("build-tasks", "--region", "north", "--analyze", "park2.yaml", cwd=folder)
    both = call("build-tasks", "--region", "north", "--analyze", "bridge", "--task", "bridge", cwd=folder)
    assert both.returncode == 2 and "hint: geojepa build-tasks --analyze bridge" in both.stderr
    add_region(new_workspace(tmp_path / "workspace"), "tiny", n_tiles=12)
    few = call("build-tasks", "--analyze", "building_count", cwd=tmp_path)
    assert few.returncode == 1 and "informative by chance" in few.stderr
    (tmp_path / "names.yaml").write_text("name: names\ntitle: n\nlabel: {kind: max, read: number, tags: [name]}\n")
    none = call("build-tasks", "--analyze", "names.yaml", cwd=tmp_path)  # no name is a number
    assert none.returncode == 1 and "`names` has too few tiles (0 kept)" in none.stderr
    assert not [name for name in artifact_names(tmp_path / "workspace") if name.startswith("tasks/")]


def test_every_command_of_tasks_md_runs(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/tasks.md").read_text()
    text, *_ = re.findall(r"```yaml\n(.*?)```", page, flags=re.S)
    (tmp_path / "park_area.yaml").write_text(text.replace("leisure=park", "landuse=grass"))
    processed = add_region(new_workspace(tmp_path / "workspace"), "state-college", n_tiles=200)
    store = RegionStore(processed.file("processed.h5"), "state-college")
    names = [f"16_{x}_{y}" for x, y in zip(store["tile/x"].tolist(), store["tile/y"].tolist(), strict=True)]
    (tmp_path / "prices.csv").write_text("tile,price\n" + "".join(f"{name},{len(name)}\n" for name in names))
    pq.write_table(pa.table({"tile": names, "population": [*range(200)]}), tmp_path / "districts.parquet")
    commands = re.findall(r"^geojepa (build-tasks .*)$|`geojepa (probe [^`]*)`", page, flags=re.M)
    assert len(commands) == 5
    for build, probe in commands:
        arguments = shlex.split(build or f"{probe} --head linear")
        run_main(*arguments, cwd=tmp_path)
