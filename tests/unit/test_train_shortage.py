"""Training that runs out of memory: the error names the token budget, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from synthetic_workspace import add_region, new_workspace

from geojepa_cli import stages
from geojepa_cli.config.load import load_config
from geojepa_cli.config.names import CHECKPOINT
from geojepa_cli.errors import UsageError
from geojepa_cli.models.base import StepLosses
from geojepa_cli.models.jepa.pretraining import JepaPretraining
from geojepa_cli.train.checkpoint import checkpoint_step
from geojepa_cli.train.shortage import MemoryUse, fitting_tokens, is_shortage

SETTINGS = {
    **{"model.tag_dim": 16, "model.embed_dim": 32, "model.depth": 1, "model.num_heads": 2},
    **{"train.batch_tokens": 300, "train.checkpoint_every": 2, "train.max_steps": 6},
}
PREPARE = JepaPretraining.prepare


def fail_of(device: str) -> None:
    """Runs out of memory as PyTorch does on a device."""
    if device == "cuda":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
    torch.empty(1 << 50)  # more than any computer has


def without_memory_after(batches: int, device: str) -> Callable[..., Callable[[], StepLosses]]:
    """Returns a method `prepare` whose steps run out of memory after some batches."""
    prepared = 0

    def prepare(model: JepaPretraining, batch: Any, rng: torch.Generator) -> Callable[[], StepLosses]:
        nonlocal prepared
        prepared += 1
        compute = PREPARE(model, batch, rng)
        if prepared <= batches:
            return compute

        def fail() -> StepLosses:
            fail_of(device)
            return compute()

        return fail

    return prepare


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_error_names_a_smaller_budget_and_the_run_can_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    workspace = new_workspace(tmp_path / "workspace")
    add_region(workspace, "oak", seed=1)
    with monkeypatch.context() as patch, pytest.raises(UsageError, match="out of memory in step 3") as caught:
        patch.setattr(JepaPretraining, "prepare", without_memory_after(3, device))
        stages.pretrain(workspace, "tiny.yaml", "oak", SETTINGS, device="cpu")
    assert "`train.batch_tokens` is 300, and the largest batch has 300" in caught.value.message
    assert "--set train.batch_tokens=150" in str(caught.value.hint)
    (partial,) = (workspace.root / "models").iterdir()
    assert partial.suffix == ".partial" and checkpoint_step(partial / CHECKPOINT) == 2
    model = stages.pretrain(workspace, "tiny.yaml", "oak", SETTINGS, device="cpu")
    assert model.counts["steps"] == 6
    assert not partial.exists()


def test_other_errors_of_a_step_are_not_taken_for_a_lack_of_memory() -> None:
    assert not is_shortage(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert is_shortage(MemoryError())


def test_the_budget_is_what_fits_at_the_measured_memory_per_token() -> None:
    # 10 GB at 1 MB per token are 10,000 tokens; a tenth stays free
    assert fitting_tokens(10e9, 1e6, 65_536) == 9_000
    assert fitting_tokens(10e9, 0.7e6, 65_536) == 12_000  # 12,857 rounded down
    assert fitting_tokens(10e9, 1e5, 65_536) is None  # would not be smaller
    assert fitting_tokens(1e3, 1e6, 65_536) is None
    assert MemoryUse(torch.device("cpu")).budget(8192) == 4096
    assert MemoryUse(torch.device("cpu")).budget(1) == 1


def test_batches_that_cannot_grow_to_the_budget_are_halved_themselves() -> None:
    config = load_config("tiny", ["train.batch_tokens=200000"]).train
    error = MemoryUse(torch.device("cpu")).error(0, config, lambda budget: max(300, min(budget, 8565)))
    assert "the largest batch has 8,565" in error.message
    assert "--set train.batch_tokens=4282" in str(error.hint)


def test_if_a_single_tile_is_too_large_the_hint_is_to_recompute() -> None:
    config = load_config("tiny", ["train.batch_tokens=4096"]).train
    error = MemoryUse(torch.device("cpu")).error(0, config, lambda budget: 9000)
    assert "--set train.recompute=true" in str(error.hint)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_budget_follows_from_the_memory_of_the_batches_so_far() -> None:
    use, device = MemoryUse(torch.device("cuda")), torch.device("cuda")
    torch.cuda.reset_peak_memory_stats()
    use.start_step()
    kept = torch.empty(1000, 1 << 20, dtype=torch.uint8, device=device)  # 1 MiB per token
    del kept
    use.note(1000)
    free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    assert use.budget(10_000_000) == pytest.approx(0.9 * free / (1 << 20), rel=0.12)
