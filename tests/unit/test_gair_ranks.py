"""GAIR on two processes equals GAIR on one, with the same queue of places."""

from __future__ import annotations

from pathlib import Path

import torch
from painted_store import write_painted
from rank_runs import WEIGHTS, Run, run_on_ranks, run_one
from safetensors.torch import load_file

from geojepa_cli.train.ranks import Ranks

SETTINGS = ["train.max_steps=6", "train.accumulation=3", "loss.queue=1000"]


def test_two_processes_equal_one_also_when_a_process_has_more_batches(tmp_path: Path) -> None:
    region = write_painted(tmp_path / "region").folder

    def run(name: str) -> Run:
        return Run(str(tmp_path / name), SETTINGS, painted=True)

    run_one(run("one"), region, Ranks.alone())
    run_on_ranks(2, [run("several")], region)
    first, other = (load_file(tmp_path / name / WEIGHTS) for name in ("one", "several"))
    assert first.keys() == other.keys()
    pushed = int(first["queue.pushed"])
    assert pushed > 1000  # so the queue has wrapped around
    for name, tensor in first.items():
        if name.startswith("queue."):
            assert torch.equal(tensor, other[name]), name  # in the same order, to the bit
        else:
            torch.testing.assert_close(tensor, other[name], atol=1e-4, rtol=0, msg=name)


def test_rows_of_one_process_are_joined_in_order() -> None:
    parts = [torch.arange(6).view(3, 2), torch.zeros(0, 2, dtype=torch.int64), torch.full((1, 2), 9)]
    assert torch.equal(Ranks.alone().gather_rows(parts, 3), torch.cat(parts))
