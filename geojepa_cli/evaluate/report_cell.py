"""Result of a model and head on a task, as in the `report.json` of a probe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FIGURES = ("mae_unthinned", "auroc", "average_precision", "r2", "spearman")


@dataclass(frozen=True)
class Cell:
    """Result of a model and head on a task.

    Attributes:
        score: entry of `scores` in the `report.json` of the probe.
        probe: index of the probe in the list from which the tables are built.
        buffer: True if groups next to tested groups were used neither for training nor for validation.
        shared: share of the entities in test tiles that also lie in training tiles; None if it is unknown.
    """

    score: Mapping[str, Any]
    probe: int
    buffer: bool = False
    shared: float | None = None

    @property
    def mae(self) -> float:
        """Mean absolute error."""
        return float(self.score["mae"]["value"])

    @property
    def interval(self) -> tuple[float, float]:
        """Confidence interval of the mean absolute error."""
        return self.score["mae"]["low"], self.score["mae"]["high"]

    @property
    def relative(self) -> float:
        """MAE divided by the MAE of the baseline Dummy (predicts the median). NaN if the MAE of Dummy is 0."""
        value = self.score["relative"]
        return float("nan") if value is None else float(value)

    @property
    def protocol(self) -> str:
        """Protocol of the model: what it saw of the tested tiles in pretraining."""
        return str(self.score["protocol"])

    @property
    def figures(self) -> dict[str, float]:
        """Figures other than the MAE that are known, by name."""
        known = {name: self.score.get(name) for name in FIGURES} | (self.score.get("parts") or {})
        return {name: value for name, value in known.items() if value is not None}
