"""Names that several packages use: file names of a model, versions of weights, and the option value `none`."""

from __future__ import annotations

WEIGHTS = "weights.safetensors"
BEST_WEIGHTS = "weights-best.safetensors"  # chosen by the figure `train.select`
CONFIG = "config.yaml"
METRICS = "metrics.jsonl"
CARD = "model_card.md"
CHECKPOINT = "checkpoint.safetensors"  # of an unfinished run
NO_ENCODER = "none"  # value of options such as `--geometry-encoder`

_DIGITS = 12


def checksum_version(sha256: str) -> str:
    """Returns the version of weights: `sha256-` and the first 12 digits of the SHA-256 checksum of the weights file."""
    return f"sha256-{sha256[:_DIGITS]}"
