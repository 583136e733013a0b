"""Configurations that would hang, or fill the memory, end in a usage error."""

from __future__ import annotations

from pathlib import Path

import pytest
from commandline import geojepa

MERGES = "\n".join(
    ["m0: &m0 {a: 1}", *(f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * 20)}]}}" for i in range(1, 9))]
)
FILES = {"merges.yaml": MERGES, "keys.yaml": "1: 2\ntrue: {}\n", "large.yaml": "[" * 1_000_000}


@pytest.mark.parametrize(
    "arguments",
    [
        ("--set", "train.max_steps=" + "[" * 1000),
        ("--set", f"train.max_steps={10**26}"),
        ("--set", f"data.split_seed={10**26}"),
        ("--set", "train.lr=1e999"),
        ("--set", "model.depth=0x" + "f" * 10_000),
        ("--set", "train.lr={1: 2}"),
        ("--set", "model.embed_dim=1000000"),
        *(("--config", name) for name in FILES),
    ],
    ids=lambda arguments: arguments[1][:24],
)
def test_a_hostile_configuration_is_a_usage_error(arguments: tuple[str, str], tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    done = geojepa("pretrain", *arguments, cwd=tmp_path, timeout=120)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr and "hint: geojepa pretrain" in done.stderr


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_task_is_a_usage_error(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(FILES[name])
    done = geojepa("build-tasks", "--task", f"./{name}", cwd=tmp_path, timeout=120)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr and f"{name}" in done.stderr
