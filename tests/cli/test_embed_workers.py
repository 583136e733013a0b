"""`embed` of several regions: the same bytes on workers, Ray and `torchrun`, after kills and failures."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib import util
from pathlib import Path

import pytest
from commandline import COMMAND, invoke, refused
from hint_commands import check_hint
from synthetic_workspace import add_region

from geojepa_cli import Workspace, stages
from geojepa_cli.errors import DataError, MissingExtraError, NotFoundError, UsageError
from geojepa_cli.evaluate.embed import CHUNK_TILES
from geojepa_cli.stages.embedding_processes import choose_runner
from geojepa_cli.train.ranks import Ranks

REGIONS = ("fir", "oak", "wide")
SETTINGS = ("model.tag_dim=16", "model.embed_dim=64", "model.depth=6", "model.num_heads=2", "model.predictor_depth=1")
EMBED = ["embed", "--model", "small", "--min-entities", "1", "--threads", "1", "--all-regions"]
# addresses as numbers, since a bare container cannot look up `localhost` or its own name
ADDRESSES = ["--local-addr", "127.0.0.1", "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", *ADDRESSES, "--nproc-per-node", "2", "-m", "geojepa_cli"]

CHUNK = "embeddings/small.wide@*.partial/chunks/*.safetensors"

Digests = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A model, and three regions. The tiles of `wide` are two chunks, the second much smaller than the first."""
    made = Workspace(tmp_path_factory.mktemp("regions") / "workspace")
    add_region(made, "fir", 1, 40, corner=(19000, 25956))
    add_region(made, "oak", 2, 60, corner=(20000, 25956))
    add_region(made, "wide", 3, CHUNK_TILES + 500, corner=(21000, 25956), mean_entities=8.0)
    stages.pretrain(made, "tiny.yaml", "fir", [*SETTINGS, "train.max_steps=0"], "small")
    return made


@pytest.fixture(scope="module")
def expected(workspace: Workspace) -> Digests:
    """Digests of the embeddings that one process makes."""
    made = stages.embed(workspace, "small", list(REGIONS), min_entities=1)
    assert made[2].counts["tiles"] > CHUNK_TILES
    return take_digests(workspace)


def take_digests(workspace: Workspace) -> Digests:
    """Digests of all files of all embeddings but their times. Deletes the embeddings."""
    folder = workspace.root / "embeddings"
    assert not [path.name for path in folder.iterdir() if path.suffix in (".lock", ".partial")]
    found = {
        artifact.name: {
            path.relative_to(artifact).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in artifact.rglob("*")
            if path.is_file() and path.name != "timing.json"
        }
        for artifact in folder.iterdir()
    }
    assert all("embeddings.h5" in files and "manifest.json" in files for files in found.values())
    shutil.rmtree(folder)
    return found


def start(workspace: Workspace, *options: str, program: list[str] = COMMAND) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*program, *EMBED, *options],
        cwd=workspace.root.parent,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def children(process: int) -> list[int]:
    """Ids of the processes that the threads of a process started, in order of their start."""
    lists = Path(f"/proc/{process}/task").glob("*/children")
    return sorted(int(word) for found in lists for word in found.read_text().split())


def wait_for_a_chunk(process: subprocess.Popen[str], workspace: Workspace) -> None:
    """Waits until one of the chunks of `wide` exists. The other chunk, or joining both, is still to do."""
    while not list(workspace.root.glob(CHUNK)):
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


@pytest.fixture(autouse=True)
def no_embeddings(workspace: Workspace, expected: Digests) -> None:
    """Deletes what a failed test left."""
    shutil.rmtree(workspace.root / "embeddings", ignore_errors=True)


def test_two_workers_write_the_same_bytes(workspace: Workspace, expected: Digests) -> None:
    assert sorted(name.partition("@")[0] for name in expected) == [f"small.{name}" for name in REGIONS]
    made = stages.embed(workspace, "small", list(REGIONS), min_entities=1, workers=2)
    assert [artifact.name for artifact in made] == [f"small.{name}" for name in REGIONS]
    assert stages.embed(workspace, "small", min_entities=1, all_regions=True, workers=2) == made
    assert take_digests(workspace) == expected


def test_two_processes_of_torchrun_write_the_same_bytes_and_print_once(workspace: Workspace, expected: Digests) -> None:
    with start(workspace, "--json", program=TORCHRUN) as running:
        out, message = running.communicate(timeout=200)
    assert running.returncode == 0, message
    answer = json.loads(out)
    assert [ref.partition("@")[0] for ref in answer["artifact"]] == [f"small.{name}" for name in REGIONS]
    assert take_digests(workspace) == expected


def test_two_workers_of_ray_write_the_same_bytes(workspace: Workspace, expected: Digests) -> None:
    ray = pytest.importorskip("ray")
    try:
        stages.embed(workspace, "small", list(REGIONS), min_entities=1, workers=2, ray=True)
    finally:
        ray.shutdown()
    assert take_digests(workspace) == expected


def test_killed_workers_are_replaced_and_the_bytes_are_the_same(workspace: Workspace, expected: Digests) -> None:
    with start(workspace, "--workers", "2") as running:
        wait_for_a_chunk(running, workspace)
        for worker in children(running.pid):
            os.kill(worker, signal.SIGKILL)
        _, message = running.communicate(timeout=200)
    assert running.returncode == 0, message
    assert "was killed by signal 9; starting it again" in message
    assert take_digests(workspace) == expected


def test_workers_end_with_a_killed_command_and_the_next_run_resumes(workspace: Workspace, expected: Digests) -> None:
    with start(workspace, "--workers", "2") as running:
        wait_for_a_chunk(running, workspace)
        workers = children(running.pid)
        running.send_signal(signal.SIGKILL)
        running.wait()
    assert len(workers) == 2
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        time.sleep(0.02)
    assert list(workspace.root.glob(CHUNK))
    assert not [path for path in workspace.root.glob("embeddings/small.wide@*") if path.suffix == ""]
    stages.embed(workspace, "small", all_regions=True, min_entities=1)
    assert take_digests(workspace) == expected


@pytest.mark.slow
def test_a_killed_process_of_torchrun_ends_the_run_and_the_next_resumes(
    workspace: Workspace, expected: Digests
) -> None:
    with start(workspace, program=TORCHRUN) as running:
        wait_for_a_chunk(running, workspace)
        os.kill(children(running.pid)[1], signal.SIGKILL)
        out, message = running.communicate(timeout=200)
    assert running.returncode != 0 and out == "" and "bug of geojepa" not in message
    assert list(workspace.root.glob(CHUNK))
    with start(workspace, "--json", program=TORCHRUN) as running:
        out, message = running.communicate(timeout=200)
    assert running.returncode == 0 and out.count('"command": "embed"') == 1, message
    assert take_digests(workspace) == expected


@pytest.fixture
def damaged(workspace: Workspace, expected: Digests, tmp_path: Path) -> Workspace:
    """A copy of the workspace, in which the tag embeddings of `fir` are damaged."""
    made = Workspace(tmp_path / "workspace")
    shutil.copytree(workspace.root, made.root)
    (file,) = made.root.glob("features/fir@*/tags.h5")
    file.write_bytes(bytes(file.stat().st_size))
    return made


@pytest.mark.parametrize("workers", [1, 2])
def test_a_region_that_fails_does_not_lose_the_others(damaged: Workspace, expected: Digests, workers: int) -> None:
    with pytest.raises(DataError, match=r"^1 of 3 regions failed: `fir`: .*tags\.h5.*; the embeddings") as caught:
        stages.embed(damaged, "small", list(REGIONS), min_entities=1, workers=workers)
    check_hint(str(caught.value.hint))
    assert "process --region fir" in str(caught.value.hint) and f"--workspace {damaged.root}" in str(caught.value.hint)
    assert take_digests(damaged) == {name: files for name, files in expected.items() if "fir" not in name}


def test_all_failed_regions_are_listed(damaged: Workspace) -> None:
    (file,) = damaged.root.glob("features/oak@*/tags.h5")
    file.write_bytes(bytes(file.stat().st_size))
    done = invoke(damaged, *EMBED[:-1], "--region", "fir", "--region", "oak")
    assert isinstance(done.exception, DataError) and done.stdout == ""
    assert done.exception.message == "2 of 2 regions failed (`fir`, `oak`)"
    assert (
        done.stderr.count("warning: region `fir` failed: ") == done.stderr.count("warning: region `oak` failed: ") == 1
    )
    assert not list((damaged.root / "embeddings").glob("*"))


def test_all_regions_continues_where_a_region_cannot_be_embedded(damaged: Workspace, expected: Digests) -> None:
    (features,) = damaged.root.glob("features/fir@*")
    shutil.rmtree(features)
    error = refused(damaged, *EMBED[:-1], "--region", "fir", "--region", "oak")
    assert isinstance(error, NotFoundError) and not (damaged.root / "embeddings").exists()
    error = refused(damaged, *EMBED)
    assert error.message.startswith("1 of 3 regions failed: `fir`: there is no features artifact")
    assert sorted(take_digests(damaged)) == sorted(name for name in expected if "fir" not in name)


def test_a_large_region_in_use_by_another_command_does_not_lose_the_others(
    workspace: Workspace, expected: Digests
) -> None:
    (name,) = (name for name in expected if "wide" in name)
    params = stages.embed(workspace, "small", "wide", min_entities=1)[0]
    shutil.rmtree(params.path)
    held = workspace.root / "embeddings" / f"{name}.lock"
    holder = subprocess.Popen(["flock", str(held), "sleep", "100"])
    try:
        while subprocess.run(["flock", "-n", str(held), "true"]).returncode == 0:
            time.sleep(0.01)
        with pytest.raises(DataError, match=r"1 of 2 regions failed: `wide`: .* is in use by another process"):
            stages.embed(workspace, "small", ["fir", "wide"], min_entities=1, workers=2)
    finally:
        holder.kill()
        holder.wait()
    assert [path.name.partition("@")[0] for path in workspace.root.glob("embeddings/*@*") if path.is_dir()] == [
        "small.fir"
    ]
    shutil.rmtree(workspace.root / "embeddings")


def test_wrong_combinations_name_the_command_to_use(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    error = refused(workspace, "embed", "--model", "small")
    assert "several regions" in error.message and str(error.hint).endswith(" --all-regions")
    error = refused(workspace, "embed", "--all-regions", "--region", "fir")
    assert isinstance(error, UsageError) and "--region fir" in str(error.hint)
    assert "--all-regions" not in str(error.hint)
    assert "--workers 0" in refused(workspace, "embed", "--workers", "0", "--region", "fir").message
    with pytest.raises(UsageError, match="`torchrun` cannot be combined with `--workers`"):
        choose_runner(Ranks(0, 2), 2, False, "cpu")
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    error = refused(workspace, "embed", "--region", "fir", "--ray")
    assert isinstance(error, MissingExtraError) and "geojepa[scale]" in str(error.hint)
    assert not (workspace.root / "embeddings").exists()


def test_several_regions_are_one_table(workspace: Workspace) -> None:
    done = invoke(workspace, *EMBED[:-1], "--region", "fir", "--region", "oak")
    assert done.exit_code == 0 and done.stdout.count("small.fir@") == done.stdout.count("small.oak@") == 1
    assert f"2 artifacts in {workspace.root / 'embeddings'}" in done.stdout
    shutil.rmtree(workspace.root / "embeddings")
