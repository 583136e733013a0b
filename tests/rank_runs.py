"""Training runs on several processes, for tests. Run as a script, it is one of the processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from painted_store import start_gair
from safetensors.torch import save_file
from training import config_of, open_data

from geojepa_cli.models.jepa.pretraining import build
from geojepa_cli.train import loop
from geojepa_cli.train.loop import Result, train
from geojepa_cli.train.ranks import Ranks

WEIGHTS = "final.safetensors"
RESULT = "result.json"
EXCHANGED = "exchanged"
THREADS = "threads"


@dataclass(frozen=True)
class Run:
    """A training run in a folder.

    Attributes:
        folder: folder of the run, in which it may be resumed.
        settings: changes of the small configuration.
        painted: train GAIR on a painted region instead of GeoJEPA on a random one.
        killed_at: number of completed steps after which all processes end without saving; None: never.
        signalled_at: number of completed steps after which the last process receives SIGTERM; None: never.
    """

    folder: str
    settings: list[str]
    killed_at: int | None = None
    signalled_at: int | None = None
    painted: bool = False


class Killed(BaseException):
    """Ends a run in the middle."""


def run_one(run: Run, region: Path, ranks: Ranks) -> Result | None:
    """Runs or resumes a training run. Saves weights and result; returns None if the run was killed."""
    folder = Path(run.folder)
    folder.mkdir(exist_ok=True, parents=True)
    model: Any
    config: Any
    if run.painted:
        model, data, config = start_gair(region, *run.settings)
    else:
        config = config_of(*run.settings)
        data = open_data(region, config)
        model = build(config, data.inputs, 0)
    if ranks.rank:
        with torch.no_grad():
            next(model.module.parameters()).neg_()  # process 0 shares its weights
    step = loop._Run._step

    def step_until(current: loop._Run, batches: object) -> None:
        if current.progress.step == run.killed_at:
            raise Killed
        if current.progress.step == run.signalled_at and ranks.rank == ranks.size - 1:
            os.kill(os.getpid(), 15)
        step(current, batches)  # type: ignore[arg-type]

    with patch.object(loop._Run, "_step", step_until):
        try:
            result = train(model, data, config.train, folder, 0, ranks=ranks)
        except Killed:
            return None
    if ranks.leads:
        save_file({name: tensor.contiguous() for name, tensor in model.module.state_dict().items()}, folder / WEIGHTS)
        (folder / RESULT).write_text(json.dumps(asdict(result)))
    return result


def exchange(ranks: Ranks) -> dict[str, object]:
    """Exchanges different data in each process. Returns what this process received."""
    parameters = [torch.nn.Parameter(torch.zeros(2)) for _ in range(3)]
    parameters[0].grad = torch.full((2,), 1.0 + ranks.rank)
    if ranks.rank == 1:
        parameters[2].grad = torch.tensor([5.0, 7.0])
    ranks.sum_gradients(parameters)
    return {
        "gradients": [None if p.grad is None else p.grad.tolist() for p in parameters],
        "numbers": ranks.sum_numbers([1.5, ranks.rank]),
        "terms": ranks.sum_terms({"both": 1.0, f"only {ranks.rank}": 2.0}),
        "text": ranks.share(f"grün {ranks.rank}"),
        "texts": ranks.texts("é" * ranks.rank),
        "taken": [list(ranks.take(5)), list(ranks.take(0)), list(ranks.take(3))],
    }


def thread_names() -> list[str]:
    """Returns the names of the threads of this process, those of C++ libraries included."""
    return [name.read_text().strip() for name in Path("/proc/self/task").glob("*/comm")]


def free_port() -> int:
    """Returns a port that no program uses."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def run_on_ranks(size: int, runs: Sequence[Run], region: Path) -> None:
    """Runs training runs one after the other on several new processes."""
    port = str(free_port())
    processes = []
    for rank in range(size):
        places = {"RANK": str(rank), "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        command = [sys.executable, __file__, str(region), json.dumps([asdict(run) for run in runs])]
        environment = {**os.environ, **places, "OMP_NUM_THREADS": "1"}
        processes.append(
            subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parent)
        )
    errors = [process.communicate(timeout=200)[1] for process in processes]
    assert all(process.returncode == 0 for process in processes), "\n".join(errors)


def main() -> None:
    """Takes part in the runs as one process."""
    torch.set_num_threads(1)
    region, runs = Path(sys.argv[1]), [Run(**run) for run in json.loads(sys.argv[2])]
    place, rank = region.parent, os.environ["RANK"]
    with Ranks.from_environment() as ranks:
        for run in runs:
            run_one(run, region, ranks)
        (place / f"{EXCHANGED}-{rank}.json").write_text(json.dumps(exchange(ranks)))
        connected = thread_names()
    (place / f"{THREADS}-{rank}.json").write_text(json.dumps([connected, thread_names()]))


if __name__ == "__main__":
    main()
