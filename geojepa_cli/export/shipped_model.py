"""Makes the folder of a model that comes with the package from a trained model."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geojepa_cli.config.families import RunConfig
from geojepa_cli.config.geometry import GeometryConfig
from geojepa_cli.config.names import CARD, CONFIG, METRICS, WEIGHTS
from geojepa_cli.config.schema import PretrainConfig
from geojepa_cli.errors import DataError
from geojepa_cli.export.geometry_card import shipped_geometry_card
from geojepa_cli.export.shipped_card import ShippingFacts, shipped_card
from geojepa_cli.models.jepa.build import build_encoder
from geojepa_cli.models.polygon_gnn import embedder as polygon_gnn
from geojepa_cli.models.published import FORMAT, read_run
from geojepa_cli.store.tensors import save_tensors
from geojepa_cli.tasks.trained_groups import FILE as TRAINED_GROUPS
from geojepa_cli.train.log import read_metrics

MAX_BYTES = 12_000_000  # of the whole folder
MAX_LINES = 40  # of the shortened training log
PREFIX = "target_encoder."  # of the weights of a GeoJEPA model


def ship_model(source: Path, target: Path, facts: ShippingFacts, weights: str = WEIGHTS) -> int:
    """Writes the folder of a model that comes with the package. Replaces an existing folder.

    The folder contains the weights of the encoder as float16, the configuration, a shortened training log, the model
    card and, if `source` has it, the record of the training tiles. Predictors and classifiers, which only training
    needs, are left out.

    Args:
        source: folder of a trained model of any family, with weights, `config.yaml` and `metrics.jsonl`. For a GeoJEPA
            model, `metrics.jsonl` is optional.
        target: folder to write.
        facts: facts for the model card.
        weights: name of the weights file in `source`.

    Returns:
        Size of the folder in bytes.

    Raises:
        DataError: the weights are unreadable, do not match the configuration or exceed the range of float16, or the
            folder would be larger than `MAX_BYTES`. An existing folder is then kept.
        UsageError: the configuration cannot be read.
    """
    tensors, config = read_run(source, weights)
    lines = read_metrics(source / METRICS) if (source / METRICS).is_file() else []
    try:
        kept, card = _encoder(tensors, config, facts, lines[-1] if lines else {})
    except RuntimeError as error:
        raise DataError(f"`{source / weights}` does not match the model in `{CONFIG}`: {error}") from error
    small = _halve(kept, source / weights)
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        save_tensors(partial / WEIGHTS, small, FORMAT)
        (partial / WEIGHTS).chmod(0o644)  # safetensors makes files that only their owner can read
        shutil.copyfile(source / CONFIG, partial / CONFIG)
        if (source / TRAINED_GROUPS).is_file():
            shutil.copyfile(source / TRAINED_GROUPS, partial / TRAINED_GROUPS)
        _write_metrics(source / METRICS, partial / METRICS)
        (partial / CARD).write_text(card, encoding="utf-8")
        size = sum(path.stat().st_size for path in partial.iterdir())
        if size > MAX_BYTES:
            raise DataError(f"the model takes {size:,} bytes as float16, expected at most {MAX_BYTES:,}")
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return size


def _encoder(
    tensors: Mapping[str, Tensor], config: RunConfig, facts: ShippingFacts, last_line: Mapping[str, Any]
) -> tuple[dict[str, Tensor], str]:
    """Returns the weights of the encoder by name, and the model card.

    Raises:
        RuntimeError: the weights do not match the configuration.
    """
    if isinstance(config, GeometryConfig):
        kept = _beginning_with(tensors, polygon_gnn.PREFIX)
        polygon_gnn.build_encoder(config, kept)
        return kept, shipped_geometry_card(facts, config, last_line)
    if not isinstance(config, PretrainConfig):
        raise DataError(f"models of the family `{config.family}` cannot come with the package")
    encoder = build_encoder(config.model)
    kept = _beginning_with(tensors, PREFIX)
    encoder.load_state_dict({name.removeprefix(PREFIX): tensor for name, tensor in kept.items()})
    return kept, shipped_card(facts, config, encoder.tile_dim + config.model.sketch_dim, last_line)


def _beginning_with(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _halve(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Converts weights to float16.

    Raises:
        DataError: a value is not finite as float16.
    """
    small = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    for name, tensor in small.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise DataError(f"`{name}` in `{path}` has values that are not finite as float16")
    return small


def _write_metrics(source: Path, target: Path) -> None:
    """Copies at most `MAX_LINES` lines of a training log at equal distances, including the last line."""
    text = source.read_text(encoding="utf-8") if source.is_file() else ""
    lines = [line for line in text.splitlines() if line]
    step = -(-len(lines) // MAX_LINES) or 1
    kept = lines[::-1][::step][::-1]
    target.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


def manifest_facts(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Returns those facts that the manifest of a `models/` artifact contains: regions, attribution and counts."""
    refs = [ref.partition("/") for ref in manifest["inputs"]]
    regions = sorted({name.partition("@")[0] for kind, _, name in refs if kind == "processed"})
    return {"regions": regions, "attribution": list(manifest["attribution"]), "counts": dict(manifest["counts"])}
