"""torchvision and transformers can be imported with a CPU-only torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("torch")
SETUP = "from geojepa_cli.tags.torchvision_ops import register_torchvision_ops as register\n"


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", SETUP + code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_torchvision_and_its_models_import_after_registering() -> None:
    code = "register()\nimport torchvision\nprint(torchvision.models.resnet18().fc.out_features)"
    assert run(code) == "1000"


def test_registering_twice_has_the_same_result() -> None:
    assert run("first = register()\nprint(first == register())") == "True"


def test_registering_works_whether_torchvision_was_imported_before_or_not() -> None:
    assert run("register()\nimport torchvision\nregister()\nimport torchvision.ops\nprint('ok')") == "ok"


def test_nothing_heavy_is_imported_with_the_module() -> None:
    assert run("import sys\nprint('torch' in sys.modules, 'torchvision' in sys.modules)") == "False False"


def test_calling_an_operator_without_an_implementation_is_an_error() -> None:
    code = (
        "import torch\n"
        "missing = register()\nimport torchvision\n"
        "box, score = torch.tensor([[0., 0, 1, 1]]), torch.ones(1)\n"
        "try:\n    kept = torchvision.ops.nms(box, score, 0.5).tolist()\n"
        "except (NotImplementedError, RuntimeError):\n    kept = None\n"
        "print(kept == (None if missing else [0]))"
    )
    assert run(code) == "True"
