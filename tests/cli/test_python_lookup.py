"""Python API: wrong arguments of `Workspace`, `find`, `file` and `Embeddings`, and artifacts that do not fit a call."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from demo_workspace import Made, map_of, probed
from hint_commands import check_hint

from geojepa_cli import Workspace, stages
from geojepa_cli.errors import GeojepaError, UsageError
from geojepa_cli.store.embeddings import Embeddings

LOOKUPS: dict[str, tuple[Callable[[Made], Any], str, str]] = {
    "root, number": (lambda m: Workspace(5), "argument `root` is `5`", "pass root="),  # type: ignore[arg-type]
    "root, none": (lambda m: Workspace(None), "argument `root` is `None`", "pass root="),  # type: ignore[arg-type]
    "root, null": (lambda m: Workspace("a\0b"), "argument `root`", "pass root="),
    "root, file": (lambda m: Workspace(map_of(m)), "map.osm.pbf` is not a directory", "pass root="),
    "root, long": (lambda m: Workspace("a" * 300), "cannot be opened: File name too long", "pass root="),
    "root, digits": (lambda m: Workspace(10**9999), "an integer with too many digits", "pass root="),  # type: ignore[arg-type]
    "kind of names": (lambda m: m["workspace"].names("model"), "(source, tiles, ", 'pass kind="models"'),
    "kind of all": (lambda m: m["workspace"].artifacts(None), "argument `kind` is `None`", "pass kind="),
    "kind of newest": (lambda m: m["workspace"].newest("tile"), "(source, tiles, ", 'pass kind="tiles"'),
    "full ref, none": (lambda m: m["workspace"].at(None), "argument `full_ref` is `None`", "pass full_ref="),
    "kind, close": (lambda m: m["workspace"].find("model", "small"), "(source, tiles, ", 'pass kind="models"'),
    "kind, far": (lambda m: m["workspace"].find("foo", "x"), "(source, tiles, ", "pass kind="),
    "kind, none": (lambda m: m["workspace"].find(None, "x"), "argument `kind` is `None`", "pass kind="),
    "ref, none": (lambda m: m["workspace"].find("models", None), "argument `ref` is `None`", "pass ref="),
    "ref, path": (lambda m: m["workspace"].find("models", Path("x")), "argument `ref` is", "pass ref="),
    "ref, close": (lambda m: m["workspace"].find("models", m["models"].name + "s"), "did you mean", "geojepa "),
    "ref, region": (lambda m: m["workspace"].find("tiles", "demoo"), "did you mean `demo`", "geojepa "),
    "ref, no id": (lambda m: m["workspace"].find("tiles", "demo@"), "no id after the `@`", "geojepa "),
    "ref, wrong id": (
        lambda m: m["workspace"].find("tasks", "demo.bridge@ffff"),
        "did you mean `demo.bridge@",
        "geojepa ",
    ),
    "ref, task": (lambda m: m["workspace"].find("tasks", "demo.brigde"), "did you mean `demo.bridge`", "geojepa "),
    "ref, not built": (lambda m: m["workspace"].find("tasks", "demo.max_sped"), "max_sped", "geojepa "),
    "ref, embeddings": (lambda m: m["workspace"].find("embeddings", "tagpool.dem"), "did you mean", "geojepa "),
    "file, close": (
        lambda m: m["models"].file("confg.yaml"),
        "(`config.yaml`, `loss.png`, `metrics.jsonl`, `model_card.md`, `trained_groups.txt`, `weights.safetensors`)",
        'pass name="config.yaml"',
    ),
    "file, far": (lambda m: m["processed"].file("x"), "(`processed.h5`", "pass name="),
    "file, none": (lambda m: m["processed"].file(None), "argument `name` is `None`", "pass name="),
    "file, other": (lambda m: m["neighbours"].read_json("x.json"), "neighbours.json", "pass name="),
    "vectors, path": (lambda m: Embeddings(5), "argument `path` is `5`", "pass path="),  # type: ignore[arg-type]
    "vectors, column": (lambda m: vectors(m)["nope"], "`tile/vector`", "pass column="),
    "vectors, number": (lambda m: vectors(m)[0], "argument `column` is `0`", "pass column="),
    "tile, large": (lambda m: vectors(m).tile_name(10**6), "argument `row` is `1000000`", "pass row="),
    "tile, negative": (lambda m: vectors(m).tile_name(-1), "argument `row` is `-1`", "pass row="),
    "entity, negative": (lambda m: vectors(m).entity_ref(-1), "argument `row` is `-1`", "pass row="),
    "entity, text": (lambda m: vectors(m).entity_ref("0"), "argument `row` is `'0'`", "pass row="),
    "record, large": (lambda m: vectors(m).record_id(10**6), "argument `row` is `1000000`", "pass row="),
}


def vectors(made: Made) -> Any:
    """The opened embeddings of the demo city."""
    return Embeddings(made["embeddings"].file("embeddings.h5"))


@pytest.mark.parametrize("case", LOOKUPS)
def test_a_wrong_argument_of_a_lookup_is_a_clear_error(made: Made, case: str) -> None:
    call, message, hint = LOOKUPS[case]
    with pytest.raises(GeojepaError) as caught:
        call(made)
    assert message in caught.value.message
    assert str(caught.value.hint).startswith(hint)
    if hint == "geojepa ":
        check_hint(str(caught.value.hint))
        assert "--workspace" in str(caught.value.hint)


def test_rows_are_numpy_integers_too(made: Made) -> None:
    opened = vectors(made)
    last = opened.n_tiles - 1
    assert opened.tile_name(np.int64(last)) == opened.tile_name(last)


def test_several_artifacts_of_one_region_are_refused(made: Made) -> None:
    workspace = made["workspace"]
    tasks = [workspace.find("tasks", name) for name in ("demo.bridge", "demo.max_speed")]
    for call in (
        lambda: stages.embed(workspace, "tagpool", task=tasks),
        lambda: stages.embed(workspace, "tagpool", "demo", tasks),
        lambda: stages.embed(workspace, "tagpool", "demo", [*tasks, tasks[0]]),
    ):
        with pytest.raises(UsageError, match=r"two artifacts of the region `demo@.*demo.bridge@.*demo.max_speed@"):
            call()
    (same,) = stages.embed(workspace, "tagpool", task=[tasks[0], tasks[0]])
    assert tasks[0].full_ref in same.inputs


def test_a_list_of_tasks_gives_a_list_of_probes_and_embed_refuses_several_names(made: Made) -> None:
    workspace = made["workspace"]
    assert probed(made, task=["bridge"]) == [probed(made)]
    tasks = [workspace.find("tasks", name) for name in ("demo.bridge", "demo.max_speed")]
    assert probed(made, task=tasks) == probed(made, task=["bridge", "max_speed"])
    with pytest.raises(UsageError, match="expected one task, got a list of several") as caught:
        stages.embed(workspace, "tagpool", task=["bridge", "max_speed"])
    assert str(caught.value.hint) == 'pass task="bridge"'


def test_an_artifact_of_another_workspace_is_refused(made: Made) -> None:
    shutil.copytree(made["workspace"].root, made["folder"] / "other", copy_function=os.link)
    other = Workspace(made["folder"] / "other")
    for call in (
        lambda: stages.embed(other, made["models"], "demo"),
        lambda: stages.embed(other, "tagpool", made["processed"]),
        lambda: stages.process(other, made["processed"]),
        lambda: stages.embed(other, "tagpool", task=made["tasks"]),
        lambda: stages.probe(other, "bridge", made["models"]),
    ):
        with pytest.raises(UsageError, match="is in another workspace: expected an artifact in") as caught:
            call()
        assert str(caught.value.hint) == f'pass workspace=Workspace("{made["workspace"].root}")'
