"""Training on two processes equals training on one, also after kills and with another number of processes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from rank_runs import EXCHANGED, RESULT, THREADS, WEIGHTS, Run, run_on_ranks, run_one
from safetensors.torch import load_file
from training import config_of, open_data, write_region

from geojepa_cli.config.names import CHECKPOINT, METRICS
from geojepa_cli.errors import UsageError
from geojepa_cli.models.jepa.pretraining import build
from geojepa_cli.train.checkpoint import checkpoint_step
from geojepa_cli.train.log import read_metrics
from geojepa_cli.train.loop import TERMINATED, train
from geojepa_cli.train.ranks import Ranks
from geojepa_cli.train.steps import Place, generator, prepare_steps

STEPS = ["train.max_steps=20", "train.log_every=3"]  # checkpoints every 5 steps are between two lines of the log
TWO = [*STEPS, "train.accumulation=2"]
FEW = ["train.max_steps=6", "train.log_every=3"]
THREE = [*FEW, "train.accumulation=3"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with undisturbed runs on one process, and with runs on two processes.

    Some of these start on one process and end on two, or are to be resumed on one process.
    """
    place = tmp_path_factory.mktemp("ranks")
    region = write_region(place / "region@000000000000")

    def runs(name: str, settings: list[str] = TWO, **ends: int) -> Run:
        return Run(str(place / name), settings, **ends)

    alone = Ranks.alone()
    for run in (runs("one"), runs("one-of-three", THREE), runs("1-to-2", killed_at=13)):
        run_one(run, region, alone)
    on_two = [runs("two"), runs("two-of-three", THREE), runs("1-to-2"), runs("2-to-2", killed_at=8), runs("2-to-2")]
    on_two += [runs("2-to-1", killed_at=13), runs("signalled", signalled_at=7)]
    on_two.append(runs("timed", ["train.accumulation=2", "train.max_steps=100000", "train.max_minutes=0.01"]))
    run_on_ranks(2, on_two, region)
    return place


def result(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / RESULT).read_text()))


def check_equal(one: Path, other: Path) -> None:
    first, second = load_file(one / WEIGHTS), load_file(other / WEIGHTS)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, second[name], atol=1e-4, rtol=0, msg=name)
    lines = [read_metrics(folder / METRICS) for folder in (one, other)]
    assert len(lines[0]) == len(lines[1])
    for a, b in zip(*lines, strict=True):
        assert a == pytest.approx(b, rel=1e-4, abs=1e-4)
    for name in ("step", "epoch", "batch", "tokens", "tiles"):
        assert result(one)["progress"][name] == result(other)["progress"][name]


def test_two_processes_equal_one_with_the_same_batches_per_step(place: Path) -> None:
    check_equal(place / "one", place / "two")
    assert result(place / "two")["progress"]["epoch"] > 2


def test_a_process_may_have_more_batches_than_another(place: Path) -> None:
    check_equal(place / "one-of-three", place / "two-of-three")
    run_one(Run(str(place / "fewer"), [*FEW, "train.accumulation=2"]), place / "region@000000000000", Ranks.alone())
    first, other = (load_file(place / name / WEIGHTS) for name in ("fewer", "one-of-three"))
    assert any(not torch.allclose(tensor, other[name], atol=1e-4) for name, tensor in first.items())


def test_a_killed_run_on_two_processes_resumes_on_two(place: Path) -> None:
    assert result(place / "2-to-2")["resumed_from"] == 5
    check_equal(place / "two", place / "2-to-2")


def test_a_killed_run_on_one_process_resumes_on_two(place: Path) -> None:
    assert result(place / "1-to-2")["resumed_from"] == 10
    check_equal(place / "one", place / "1-to-2")


def test_a_killed_run_on_two_processes_resumes_on_one(place: Path) -> None:
    run_one(Run(str(place / "2-to-1"), TWO), place / "region@000000000000", Ranks.alone())
    assert result(place / "2-to-1")["resumed_from"] == 10
    check_equal(place / "one", place / "2-to-1")


def test_all_processes_stop_at_the_same_step_when_the_time_is_over(place: Path) -> None:
    found = result(place / "timed")
    assert found["stopped_by"] == "max_minutes" and 0 < found["progress"]["step"] < 100_000
    assert found["progress"]["elapsed_s"] >= 0.6


def test_sigterm_to_one_process_stops_both_after_the_step_and_the_run_can_resume(place: Path) -> None:
    folder = place / "signalled"
    assert result(folder)["stopped_by"] == TERMINATED
    assert checkpoint_step(folder / CHECKPOINT) == 8
    run_one(Run(str(folder), TWO), place / "region@000000000000", Ranks.alone())
    assert result(folder)["resumed_from"] == 8
    check_equal(place / "one", folder)


def test_sigterm_on_one_process_saves_and_the_resumed_run_ends_with_the_same_bytes(place: Path, tmp_path: Path) -> None:
    region = place / "region@000000000000"
    run_one(Run(str(tmp_path / "run"), TWO, signalled_at=11), region, Ranks.alone())
    assert result(tmp_path / "run")["stopped_by"] == TERMINATED
    assert checkpoint_step(tmp_path / "run" / CHECKPOINT) == 12
    run_one(Run(str(tmp_path / "run"), TWO), region, Ranks.alone())
    for name in (WEIGHTS, METRICS):
        assert (tmp_path / "run" / name).read_bytes() == (place / "one" / name).read_bytes()


def test_all_processes_receive_the_same_sums_and_the_text_of_the_first(place: Path) -> None:
    for rank in range(2):
        found = json.loads((place / f"{EXCHANGED}-{rank}.json").read_text())
        del found["taken"]
        assert found == {
            "gradients": [[3.0, 3.0], None, [5.0, 7.0]],  # the second parameter has no gradient in any process
            "numbers": [3.0, 1.0],
            "terms": {"both": 2.0, "only 0": 2.0, "only 1": 2.0},
            "text": "grün 0",
            "texts": ["", "é"],
        }


def test_each_number_is_taken_by_one_process(place: Path) -> None:
    both = [json.loads((place / f"{EXCHANGED}-{rank}.json").read_text())["taken"] for rank in range(2)]
    for first, second, count in zip(*both, (5, 0, 3), strict=True):
        assert sorted([*first, *second]) == list(range(count))
    assert list(Ranks.alone().take(3)) == [0, 1, 2] and Ranks.alone().texts("a") == ["a"]


def test_no_thread_of_the_connection_is_left_to_abort_the_process_at_its_end(place: Path) -> None:
    for rank in range(2):
        connected, after = json.loads((place / f"{THREADS}-{rank}.json").read_text())
        assert any("gloo" in name for name in connected)
        assert not [name for name in after if "gloo" in name or "tcpstore" in name]


class Numbered(NamedTuple):
    """Batch that knows its epoch and index."""

    epoch: int
    index: int
    n_tiles: int = 1


class Epochs:
    """Data with 3, 1, 2, 3, 1, 2, … batches per epoch."""

    def n_batches(self, epoch: int) -> int:
        return (3, 1, 2)[epoch % 3]

    def batches(self, epoch: int, indices: Sequence[int]) -> Iterator[Numbered]:
        return (Numbered(epoch, index) for index in indices)


class Recorder:
    """Model that returns the batch and the seed of its random numbers instead of losses."""

    def prepare(self, batch: Numbered, rng: torch.Generator) -> Callable[[], Any]:
        return lambda: (batch.epoch, batch.index, rng.initial_seed())


def prepared(accumulation: int, start: Place, ranks: Ranks, count: int) -> list[tuple[Any, int, int]]:
    steps = prepare_steps(Recorder(), Epochs(), 7, accumulation, start, ranks)  # type: ignore[arg-type]
    return [(one.compute(), one.epoch, one.batch) for one in islice(steps, count)]  # type: ignore[misc]


@pytest.mark.parametrize("accumulation", [1, 2, 3, 4, 7])
def test_the_batches_of_a_step_do_not_depend_on_the_number_of_processes(accumulation: int) -> None:
    start, steps = Place(4, 1, 0), 20
    alone = prepared(accumulation, start, Ranks.alone(), steps * accumulation)
    order = [(epoch, index) for epoch in range(1, 99) for index in range(Epochs().n_batches(epoch))]
    for number, ((epoch, index, seed), *after) in enumerate(alone):
        step, part = divmod(number, accumulation)
        assert (epoch, index) == order[number]
        assert seed == generator(7, 4 + step, part).initial_seed()
        assert tuple(after) == order[(step + 1) * accumulation]
    for size in range(2, accumulation + 1):
        for rank in range(size):
            own = [one for number, one in enumerate(alone) if number % accumulation % size == rank]
            assert prepared(accumulation, start, Ranks(rank, size), len(own)) == own
    later = Place(4 + 6, *alone[6 * accumulation - 1][1:])
    assert prepared(accumulation, later, Ranks.alone(), 5) == alone[6 * accumulation :][:5]


def test_more_processes_than_batches_per_step_is_an_error_with_the_setting_to_use(place: Path, tmp_path: Path) -> None:
    config = config_of("train.max_steps=1", "train.accumulation=2")
    data = open_data(place / "region@000000000000", config)
    with pytest.raises(UsageError, match="3 processes") as caught:
        train(build(config, data.inputs, 0), data, config.train, tmp_path, 0, ranks=Ranks(1, 3))
    assert "--set train.accumulation=3" in str(caught.value.hint)
    assert not list(tmp_path.iterdir())
