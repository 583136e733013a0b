"""`embed` on a small random workspace: TagPool and small models, limits, masks, damaged models."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from commandline import Run, invoke
from synthetic_workspace import add_region

from geojepa_cli import console
from geojepa_cli.config.load import load_config
from geojepa_cli.errors import DataError, NotFoundError, UsageError
from geojepa_cli.evaluate.embed import embed_chunks, open_chunks
from geojepa_cli.grid import TileId
from geojepa_cli.models.base import FrozenInputs, TagList
from geojepa_cli.stages.embedding_model import TAGPOOL, Model, find_model
from geojepa_cli.stages.embeddings import make_embeddings
from geojepa_cli.stages.models import make_model
from geojepa_cli.stages.tasks import build_tasks
from geojepa_cli.stages.training import TrainingRun
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.store.features import open_features
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.tile_map import read_tags
from geojepa_cli.store.view import View
from geojepa_cli.workspace.manifest import MANIFEST
from geojepa_cli.workspace.workspace import Workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two regions, one with images; the first with the tasks `bridge` and `building_count`."""
    made = Workspace(tmp_path_factory.mktemp("vectors") / "workspace")
    first = add_region(made, "alpha", 0, 160, with_images=True)
    add_region(made, "beta", 1, 60, corner=(18100, 25956))
    build_tasks(made, first, ["max_speed", "building_count"])
    return made


def _json(text: str) -> dict[str, Any]:
    answer = json.loads(text)
    assert set(answer) == {"schema", "command", "artifact", "result"}
    return dict(answer)


@pytest.fixture(scope="module")
def vectors(workspace: Workspace, run_here: Run) -> Embeddings:
    ref = _json(run_here("embed", "--region", "alpha", "--model", "tagpool", "--json"))["artifact"]
    return Embeddings(workspace.find("embeddings", ref).file("embeddings.h5"))


def test_tagpool_entities_are_the_mean_of_their_tags_and_tiles_max_and_mean(
    workspace: Workspace, vectors: Embeddings
) -> None:
    region = workspace.find("processed", "alpha")
    with h5py.File(region.file("processed.h5")) as file:
        objects, offsets, vocab = (file[name][...] for name in ("piece/object", "object/tags", "tag/vocab"))
    features = workspace.derived("features", "alpha", region).file("tags.h5")
    with h5py.File(features) as file:
        table = file["embedding"][...]
    for row in range(0, vectors.n_tiles, 13):
        first, last = vectors["entity/cu_seqlens"][row : row + 2].astype(int)
        entities = []
        for piece in vectors["entity/piece"][first:last].astype(int):
            begin, end = offsets[objects[piece]], offsets[objects[piece] + 1]
            entities.append(table[vocab[begin:end]].mean(0))
        expected = np.concatenate([np.max(entities, 0), np.mean(entities, 0)])
        np.testing.assert_allclose(vectors["tile/vector"][row], expected, atol=1e-5)
        np.testing.assert_allclose(vectors["entity/vector"][first:last], entities, atol=1e-3)


def test_embedding_again_finds_the_same_artifact(workspace: Workspace, run_here: Run, vectors: Embeddings) -> None:
    before = vectors.path.stat().st_mtime_ns
    again = _json(run_here("embed", "--region", "alpha", "--model", "tagpool", "--json"))
    assert workspace.find("embeddings", again["artifact"]).file("embeddings.h5") == vectors.path
    assert vectors.path.stat().st_mtime_ns == before


def test_a_masked_embedding_is_another_artifact_and_hides_what_the_task_asks_for(
    workspace: Workspace, run_here: Run
) -> None:
    command = ("embed", "--region", "alpha", "--model", "tagpool", "--task", "building_count", "--json")
    refs = [_json(run_here(*command, *flag))["artifact"] for flag in ((), ("--masked",))]
    assert refs[0] != refs[1]
    plain, masked = (Embeddings(workspace.find("embeddings", ref).file("embeddings.h5")) for ref in refs)
    np.testing.assert_array_equal(plain["tile/row"], masked["tile/row"])
    region = RegionStore(workspace.find("processed", "alpha").file("processed.h5"))
    buildings = [
        {
            "building" in read_tags(region, int(region["piece/object"][piece]))
            for piece in vectors["entity/piece"].astype(int)
        }
        for vectors in (plain, masked)
    ]
    assert buildings == [{True, False}, {False}]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("probe", "--task", "max_sped", "--region", "alpha"), "did you mean `max_speed`"),
        (("probe", "--task", "max_speed", "--region", "alpa"), "did you mean `alpha`"),
        (("probe", "--task", "max_speed", "--region", "alpha", "--model", "tagpol"), "did you mean `tagpool`"),
        (("probe", "--task", "max_speed", "--region", "alpha", "--head", "cubic"), "unknown head"),
        (("embed", "--region", "alpha", "--masked"), "`--masked` requires `--task`"),
        (("embed", "--region", "alpha", "--model", "tagpool", "--device", "tpu"), "unknown device"),
    ],
)
def test_the_error_of_a_wrong_name_has_the_nearest(run_here: Run, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        run_here(*arguments)
    assert message in f"{caught.value.message} {caught.value.hint}"


def test_embeddings_of_several_regions_are_one_document(run_here: Run) -> None:
    answer = _json(run_here("embed", "--region", "alpha", "--region", "beta", "--model", "tagpool", "--json"))
    assert [ref.partition("@")[0] for ref in answer["artifact"]] == ["tagpool.alpha", "tagpool.beta"]
    assert [result["region"].partition("@")[0] for result in answer["result"]] == ["alpha", "beta"]


def _token_counts(workspace: Workspace, name: str) -> dict[str, int]:
    """Tokens of every tile, counted one by one."""
    store = RegionStore(workspace.find("processed", name).file("processed.h5"))
    counts = {}
    for row in range(store.n_tiles):
        first, last = (int(end) for end in store["tile/pieces"][row : row + 2])
        tokens = 0
        for piece in range(first, last):
            thing = int(store["piece/object"][piece])
            tagged = store["object/tags"][thing + 1] > store["object/tags"][thing]
            tokens += bool(store["object/token"][thing] == 0 and not store["piece/covers_tile"][piece] and tagged)
        counts[TileId(*(int(store[f"tile/{axis}"][row]) for axis in "zxy")).name] = tokens
    return counts


def test_limits_of_entities_choose_the_tiles_and_are_part_of_the_id(crowded: Workspace) -> None:
    counts = _token_counts(crowded, "town")
    refs = []
    for low, high in ((5, 1250), (1, 40), (30, 2000)):
        limits = () if low == 5 else ("--min-entities", low, "--max-entities", high)
        done = invoke(crowded, "embed", "--region", "town", *limits, "--json")
        refs.append(json.loads(done.stdout)["artifact"])
        vectors = Embeddings(crowded.find("embeddings", refs[-1]).file("embeddings.h5"))
        found = {vectors.tile_name(row) for row in range(vectors.n_tiles)}
        assert found == {name for name, count in counts.items() if low <= count <= high}
    assert len(set(refs)) == 3


@pytest.mark.parametrize("command", [("embed",), ("knn", "--tile", "QUERY")])
def test_the_hint_of_limits_that_leave_no_tile_keeps_one(crowded: Workspace, command: tuple[str, ...]) -> None:
    counts = _token_counts(crowded, "town")
    query = max(counts, key=lambda name: counts[name])
    arguments = [query if word == "QUERY" else word for word in command]
    free = next(count for count in range(2, counts[query]) if count not in counts.values())
    done = invoke(crowded, *arguments, "--region", "town", "--min-entities", free, "--max-entities", free)
    assert isinstance(done.exception, DataError | NotFoundError)
    assert f"--max-entities {counts[query]}" in str(done.exception.hint)
    assert invoke(crowded, *arguments, "--region", "town", "--max-entities", counts[query]).exit_code == 0
    assert not list(crowded.root.glob("*/*.partial"))


def test_limits_exclude_a_task_which_has_its_limits(run_here: Run) -> None:
    with pytest.raises(UsageError, match="`--task` cannot be combined with"):
        run_here("embed", "--region", "alpha", "--task", "max_speed", "--max-entities", "9")


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A region with a task and two versions of an untrained model."""
    made = Workspace(tmp_path_factory.mktemp("untrained") / "workspace")
    region = add_region(made, "town", 0, 60)
    build_tasks(made, region, ["max_speed"])
    for steps in (0, 1):
        settings = [f"train.max_steps={steps}", "model.tag_dim=16", "model.depth=1", "train.batch_tokens=4096"]
        make_model(made, [region], TrainingRun(load_config("tiny.yaml", settings), "net", seed=3))
    return made


@pytest.fixture
def modelled(untrained: Workspace, tmp_path: Path) -> Workspace:
    """A copy of `untrained`, which a test may change."""
    shutil.copytree(untrained.root, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


@pytest.mark.parametrize("damage", ["truncate", "schema"])
def test_a_damaged_model_is_refused_and_no_other_is_used_in_its_place(modelled: Workspace, damage: str) -> None:
    model = modelled.artifacts("models")[-1]
    if damage == "truncate":
        weights = model.file("weights.safetensors")
        weights.write_bytes(weights.read_bytes()[:1000])
    else:
        (model.path / MANIFEST).write_text(json.dumps({**model.manifest, "schema": 99}))
    region = RegionStore(modelled.find("processed", "town").file("processed.h5"), "town")
    tile = TileId(*(int(region[f"tile/{axis}"][0]) for axis in "zxy")).name
    rebuilds = set()
    for command in (("embed",), ("knn", "--tile", tile), ("probe", "--task", "max_speed", "--masked")):
        done = invoke(modelled, *command)
        assert isinstance(done.exception, DataError) and done.stdout == ""
        assert ("has 1,000 bytes" if damage == "truncate" else "has schema 99") in done.exception.message
        assert not (modelled.root / "embeddings").exists()
        rebuilds.add(str(done.exception.hint))
    (rebuild,) = rebuilds
    words = shlex.split(rebuild)
    assert words[:4] == ["geojepa", "--workspace", str(modelled.root), "pretrain"]
    if damage == "truncate":  # a manifest of another schema is not trusted with the configuration's checksum
        assert invoke(modelled, *words[3:]).exit_code == 0
        assert modelled.find("models", model.ref).verify() == []  # the same model, from its configuration and seed


def test_overwritten_weights_are_refused_wherever_they_are_read(modelled: Workspace) -> None:
    """Inverts 8 kB in the middle of the file, so that its size and its header are as before."""
    model = modelled.artifacts("models")[-1]
    weights = model.file("weights.safetensors")
    whole = weights.read_bytes()
    middle = len(whole) // 2
    weights.write_bytes(
        whole[:middle] + bytes(byte ^ 0x55 for byte in whole[middle : middle + 8192]) + whole[middle + 8192 :]
    )
    region = RegionStore(modelled.find("processed", "town").file("processed.h5"), "town")
    tile = TileId(*(int(region[f"tile/{axis}"][0]) for axis in "zxy")).name
    commands = (
        ("embed",),
        ("knn", "--tile", tile),
        ("probe", "--task", "max_speed", "--masked"),
        ("export", "--format", "model"),
    )
    for command in commands:
        done = invoke(modelled, *command)
        assert isinstance(done.exception, DataError), (command, done.exception)
        assert f"`{weights}` is damaged" in done.exception.message, command
        rebuild = str(done.exception.hint)
        assert rebuild.startswith("rm ") and "pretrain --config" in rebuild, command
    assert not any((modelled.root / kind).exists() for kind in ("embeddings", "probes", "exports"))


EVERYTHING = """
name: all
title: everything
label: {kind: count, tags: ["*"]}
mask: {tags: ["MASKED"]}
"""


@pytest.mark.parametrize("model", ["tagpool", "net"])
def test_tiles_that_a_mask_empties_have_the_zero_vector_and_nothing_left_is_an_error(
    tmp_path: Path, modelled: Workspace, model: str
) -> None:
    (tmp_path / "all.yaml").write_text(EVERYTHING.replace("MASKED", "*"))
    assert invoke(modelled, "build-tasks", "--task", tmp_path / "all.yaml").exit_code == 0
    done = invoke(modelled, "embed", "--task", "all", "--masked", "--model", model)
    assert isinstance(done.exception, DataError)
    assert "the mask of task `all` (`mask` in its definition) hides all entities in all" in done.exception.message
    assert not list(modelled.root.glob("embeddings/*@*"))
    region = modelled.find("processed", "town")
    store = TileStore.open([region.file("processed.h5")], names=["town"])
    view, pieces = View.default(store), store.regions[0]["tile/pieces"]
    emptied = view.tiles[::2]
    hidden = np.concatenate([np.arange(pieces[tile], pieces[tile + 1]) for tile in emptied.tolist()])
    tags = open_features([modelled.derived("features", "town", region).file("tags.h5")], store)
    embedder = find_model(modelled, model).open(FrozenInputs(tags.table, tags=TagList(store.keys, store.values)))
    found = []
    for number, shown in enumerate((view, view.drop(pieces=hidden))):
        (folder := tmp_path / str(number)).mkdir()
        with console.progress("embed") as meter:
            embed_chunks(open_chunks(store, shown, embedder, folder, {"model": model, "region": "town"}), folder, meter)
        found.append(Embeddings(folder / "embeddings.h5")["tile/vector"])
    assert (found[1][::2] == 0).all()
    np.testing.assert_allclose(found[1][1::2], found[0][1::2], rtol=1e-4, atol=1e-5)
    assert (found[0] != 0).any(1).all()


def test_without_a_model_tagpool_is_used_with_a_note(workspace: Workspace) -> None:
    tile = Embeddings(_of_tagpool(workspace)).tile_name(0)
    for command in (["embed"], ["probe", "--task", "building_count"], ["knn", "--tile", tile]):
        done = invoke(workspace, *command, "--region", "alpha")
        assert done.exit_code == 0, done.output
        assert (
            "there is no trained model" in done.stderr
            and "using the baseline tagpool" in done.stderr
            and "geojepa pretrain" in done.stderr
        )
        named = invoke(workspace, *command, "--region", "alpha", "--model", "tagpool")
        assert named.exit_code == 0 and "no trained model" not in named.stderr


def _of_tagpool(workspace: Workspace) -> Path:
    return make_embeddings(workspace, Model(TAGPOOL, None), workspace.find("processed", "alpha")).file("embeddings.h5")
