"""Plot of the metrics of a training run by step.

The panels show the loss and its terms, the effective rank and the standard deviation of the tile vectors and of the
entity vectors, the cosine similarity of the entity vectors with their mean, and the learning rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PANELS = {
    "loss": ("loss", "prediction"),
    "variance terms": ("variance_predicted", "variance_context", "variance_tile"),
    "covariance terms": ("covariance_predicted", "covariance_context", "covariance_tile"),
    "effective rank": ("rankme_tiles", "rankme_tokens"),
    "spread": ("std_tiles", "std_tokens", "similarity_tokens"),
    "learning rate": ("lr",),
}
GEOMETRY_PANELS = {
    "loss": ("loss", "loss_unseen_fonts", "loss_unseen_instances"),
    "accuracy": ("accuracy", "accuracy_unseen_fonts", "accuracy_unseen_instances"),
    "gradient norm": ("grad_norm",),
    "learning rate": ("lr",),
}


def plot_metrics(
    lines: Sequence[Mapping[str, Any]],
    path: Path,
    title: str,
    panels: Mapping[str, tuple[str, ...]] = PANELS,
) -> None:
    """Plots the metrics of a training run by step. The same metrics always give the same bytes.

    Args:
        lines: entries of `metrics.jsonl`.
        path: PNG file to write.
        title: title of the plot.
        panels: title of each panel, and the metrics that it shows. An even number of panels.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = len(panels) // 2
    figure = Figure(figsize=(4 * columns, 6), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    for axes, (panel, names) in zip(figure.subplots(2, columns).flat, panels.items(), strict=True):
        axes.set_title(panel, fontsize=10)
        for name in names:
            points = [(line["step"], line[name]) for line in lines if line.get(name) is not None]
            if points:
                marker = "." if len(points) < 3 else None
                axes.plot([x for x, _ in points], [y for _, y in points], label=name, marker=marker, linewidth=1)
        axes.set_xlabel("step", fontsize=8)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize=7)
    figure.savefig(path, metadata={"Software": None})
