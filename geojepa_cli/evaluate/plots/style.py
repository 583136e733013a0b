"""Colours of plots, and a function to save figures. The same figure always gives the same bytes."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

matplotlib.use("Agg")

COLOURS = ("#2b5f75", "#d98a5b", "#5b8c5a", "#a45cb0", "#77717f")
GREY = "#999"


def save_png(figure: Figure, path: Path, dpi: int) -> None:
    """Saves a figure as a PNG file. The metadata of the file has no date and no software version."""
    figure.savefig(path, dpi=dpi, metadata={"Software": None})


def plain(text: str) -> str:
    """Returns text for a plot as it is. Matplotlib would interpret text between two `$` as a formula."""
    return text.replace("$", r"\$")
