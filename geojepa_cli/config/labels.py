"""Names that reports and model cards give to models and to rows that are not models."""

from __future__ import annotations

FIRST_WEIGHTS = "first weights"  # the model has its first (random) weights
WITHOUT_SHARED = "{} without shared"  # row of a model that did not see OSM elements in several zoom-14 tiles
RESERVED = ("dummy", "shape", "neighbours")  # rows of probes that are no models
