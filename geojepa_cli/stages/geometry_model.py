"""Stage `models/` for geometry encoders: trains PolygonGNN on the outlines of numbers in different fonts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geojepa_cli.config.names import CARD, METRICS
from geojepa_cli.stages.device import pick_device
from geojepa_cli.stages.training import TrainingRun, prepare_torch, publish_model, train_model
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.config.geometry import GeometryConfig
    from geojepa_cli.glyphs.fonts import FontFiles


def make_geometry_model(workspace: Workspace, run: TrainingRun[GeometryConfig]) -> Artifact:
    """Trains a geometry encoder, and publishes the artifact `models/<name>`.

    The artifact contains the weights, the configuration, the training metrics, a plot of loss and accuracy, and a model
    card.

    Args:
        workspace: workspace to publish to.
        run: settings of the training run.

    Raises:
        NotFoundError: fonts in the configuration are not installed. They come from Debian packages.
        UsageError: the device does not exist.
        DataError: a font file is damaged.
    """
    from geojepa_cli.glyphs.fonts import find_fonts

    device = run.ranks.device(pick_device(run.device))
    fonts = find_fonts(run.config.glyphs)

    def train(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        return _train(folder, run, fonts, device)

    def describe(folder: Path, counts: Mapping[str, Any]) -> None:
        _describe(folder, run, counts)

    params = {"fonts_sha256": fonts.digest()}
    return publish_model(workspace, run, [], params, train, describe)


def _train(
    folder: Path, run: TrainingRun[GeometryConfig], fonts: FontFiles, device: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Trains a geometry encoder, and writes its files to a folder.

    Returns:
        Two dicts: the counts for `manifest.json`, such as the number of steps, and the entries for `timing.json`.
    """
    import torch

    from geojepa_cli.glyphs.fonts import read_families
    from geojepa_cli.train.glyphs import GlyphData

    prepare_torch(device, run.threads)
    families = read_families(fonts)
    workers = run.threads if device != "cpu" else 0  # a GPU computes faster than one thread draws
    data = GlyphData(families, run.config, run.seed, torch.device(device), workers)
    trained = train_model(folder, run, data, data.inputs, device)
    return trained.counts(families.counts), trained.timing


def _describe(folder: Path, run: TrainingRun[GeometryConfig], counts: Mapping[str, Any]) -> None:
    """Writes the plot of loss and accuracy, and the model card, to a folder."""
    from geojepa_cli.evaluate.plots.training import GEOMETRY, plot_metrics
    from geojepa_cli.export.geometry_card import geometry_card
    from geojepa_cli.train.log import read_metrics

    lines = read_metrics(folder / METRICS)
    plot_metrics(lines, folder / "loss.png", run.name, GEOMETRY)
    card = geometry_card(run.name, run.config, run.seed, counts, lines[-1])
    (folder / CARD).write_text(card, encoding="utf-8")
