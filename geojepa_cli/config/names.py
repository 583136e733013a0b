"""Names that several packages use: file names of a model, versions of weights, and the option value `none`."""

from __future__ import annotations

import re

WEIGHTS = "weights.safetensors"
BEST_WEIGHTS = "weights-best.safetensors"  # chosen by the figure `train.select`
KEPT_WEIGHTS = "weights-step-{step}.safetensors"  # of a step in `train.keep_at`
CONFIG = "config.yaml"
METRICS = "metrics.jsonl"
CARD = "model_card.md"
CHECKPOINT = "checkpoint.safetensors"  # of an unfinished run
NO_ENCODER = "none"  # value of options such as `--geometry-encoder`

_DIGITS = 12
_SUFFIX = re.compile(r"-(best|step-(?:0|[1-9][0-9]{0,9}))\Z")  # at most `MAX_COUNT` steps


def checksum_version(sha256: str) -> str:
    """Returns the version of weights: `sha256-` and the first 12 digits of the SHA-256 checksum of the weights file."""
    return f"sha256-{sha256[:_DIGITS]}"


def split_suffix(name: str) -> tuple[str, str]:
    """Splits the name of a model into the name of its artifact and the suffix for weights other than the last ones.

    The suffix is `best`, `step-N`, or empty.
    """
    found = _SUFFIX.search(name)
    return (name[: found.start()], found[1]) if found else (name, "")
