#!/usr/bin/env python3
"""Makes the folder of a model that comes with the package: float16 weights, configuration, training log, card.

    .venv/bin/python tools/ship_model.py workspace/models/NAME@ID --name geojepa-small --command "geojepa pretrain …"

SOURCE is a `models/` artifact, or a folder with `weights.safetensors`, `config.yaml` and `metrics.jsonl`. Regions,
attribution and counts come from the manifest of the artifact. For a folder without a manifest, `--regions` is required,
except for a geometry encoder, which is not trained on regions:

    .venv/bin/python tools/ship_model.py workspace/models/geometry@ID --name polygon-gnn --command "geojepa pretrain …"
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from geojepa_cli.config.geometry import GeometryConfig
from geojepa_cli.config.load import load_run_config
from geojepa_cli.config.names import CONFIG, WEIGHTS
from geojepa_cli.errors import GeojepaError, UsageError
from geojepa_cli.export.shipped_card import Figure, ShippingFacts
from geojepa_cli.export.shipped_model import manifest_facts, ship_model
from geojepa_cli.sources.extract import OSM_ATTRIBUTION
from geojepa_cli.tags.encoder import MiniLM
from geojepa_cli.workspace.kinds import check_name
from geojepa_cli.workspace.manifest import MANIFEST

SHIPPED = Path(__file__).resolve().parents[1] / "geojepa_cli" / "shipped"


def parse_arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description="Make the folder of a model that comes with the package.")
    parser.add_argument("source", type=Path, help="folder of a trained model")
    parser.add_argument("--name", default="geojepa-small", help="name of the model, for `--model`")
    parser.add_argument("--weights", default=WEIGHTS, help="name of the weights file in SOURCE")
    parser.add_argument("--command", required=True, help="exact command that trains the model")
    parser.add_argument("--regions", nargs="+", help="names of the training regions, if there is no manifest")
    parser.add_argument("--attribution", nargs="+", help="attribution of the training data, if there is no manifest")
    parser.add_argument("--text-encoder", default=MiniLM.name, help="text encoder of the tag embeddings")
    parser.add_argument(
        "--figure",
        nargs=4,
        action="append",
        default=[],
        metavar=("TASK", "DATA", "SCORE", "VALUE"),
        help="measured score for the card; repeat for several",
    )
    parser.add_argument("--into", type=Path, default=SHIPPED, help="folder in which the model's folder is made")
    return parser.parse_args(words)


def ship(options: argparse.Namespace) -> int:
    """Makes the folder. Returns its size in bytes.

    Raises:
        GeojepaError: an option is missing or wrong, or the model cannot be shipped.
    """
    check_name(options.name)
    path = options.source / MANIFEST
    known = manifest_facts(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
    geometry = isinstance(load_run_config(str(options.source / CONFIG)), GeometryConfig)
    regions = [] if geometry else options.regions or known.get("regions")
    if not regions and not geometry:
        raise UsageError(f"`{path}` does not exist, so `--regions` is required")
    figures = []
    for task, data, score, value in options.figure:
        try:
            figures.append(Figure(task, data, score, float(value)))
        except ValueError:
            raise UsageError(f"`--figure` expects a number as its fourth value, got `{value}`") from None
    facts = ShippingFacts(
        options.name,
        regions,
        options.command,
        options.attribution or known.get("attribution") or ([] if geometry else [OSM_ATTRIBUTION]),
        options.text_encoder,
        known.get("counts", {}),
        figures,
    )
    return ship_model(options.source, options.into / options.name, facts, options.weights)


def main(words: list[str] | None = None) -> int:
    """Runs the tool. Returns the exit code."""
    options = parse_arguments(words)
    try:
        size = ship(options)
    except GeojepaError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return error.exit_code
    print(f"{options.into / options.name}: {size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
