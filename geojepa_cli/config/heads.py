"""Names of the prediction heads of probes."""

from __future__ import annotations

HEADS = ("linear", "sgd", "mlp", "boosting")
DEFAULT_HEADS = ("linear", "mlp")
SEEDED = ("sgd", "mlp")  # heads whose predictions depend on the seed
TWO_PART = "{} two-part"  # name of a head that predicts in two parts
