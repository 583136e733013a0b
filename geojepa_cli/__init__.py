"""geojepa: embeddings of map tiles and map entities by masked latent prediction."""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Workspace", "__version__"]

if TYPE_CHECKING:
    from geojepa_cli.workspace.workspace import Workspace as Workspace


def __getattr__(name: str) -> Any:
    """Imports `Workspace` on first use, so that `geojepa --help` stays fast."""
    if name == "Workspace":
        return importlib.import_module("geojepa_cli.workspace.workspace").Workspace
    raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
