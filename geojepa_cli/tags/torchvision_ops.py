"""Makes `import torchvision` work if torchvision's compiled operators cannot be loaded.

Without this, `import transformers` fails too, because transformers imports torchvision.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

# Operators that torchvision's Python code refers to at import time.
_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_registered: list[object] = []  # keeps the libraries alive: a garbage-collected Library loses its registrations


def register_torchvision_ops() -> bool:
    """Registers the operators of torchvision that could not be loaded, so that torchvision can be imported.

    Must be called before torchvision or transformers is imported. The torchvision wheel on PyPI is built for CUDA. With
    a CPU-only torch, its compiled operators cannot be loaded, and `import torchvision` fails with "operator
    torchvision::nms does not exist". The registered operators have a signature but no implementation. Calling one
    raises an error.

    Returns:
        True if this call or an earlier call registered operators. False if torchvision is not installed, or if its
        compiled operators can be loaded.
    """
    if _registered:
        return True
    spec = importlib.util.find_spec("torchvision")
    if (
        spec is None
        or not spec.submodule_search_locations
        or _extension_loads(Path(spec.submodule_search_locations[0]))
    ):
        return False
    import torch

    library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name, schema in _SCHEMAS.items():
        if not _exists(name):
            library.define(schema)
    _registered.append(library)
    return True


def _extension_loads(folder: Path) -> bool:
    """Tries to load torchvision's compiled operators from its folder. Returns True if they are available."""
    import torch

    for path in sorted(folder.glob("_C*.so")) + sorted(folder.glob("_C*.pyd")):
        try:
            torch.ops.load_library(str(path))  # type: ignore[no-untyped-call]
        except OSError:
            continue
        return _exists("nms")
    return False


def _exists(name: str) -> bool:
    import torch

    return hasattr(torch.ops.torchvision, name)
