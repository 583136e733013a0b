"""Stages: what each command does, callable from Python. Importing this package registers every kind of artifact."""

# in the order in which the stages run, which is the order of `geojepa artifacts`
from geojepa_cli.stages import source  # isort: skip
from geojepa_cli.stages import tiles  # isort: skip
from geojepa_cli.stages import images  # isort: skip
from geojepa_cli.stages import processed  # isort: skip
from geojepa_cli.stages.features import process  # isort: skip
from geojepa_cli.stages import tasks  # isort: skip
from geojepa_cli.stages import models  # isort: skip
from geojepa_cli.stages import embeddings  # isort: skip
from geojepa_cli.stages import probes  # isort: skip
from geojepa_cli.stages.neighbours import knn  # isort: skip
from geojepa_cli.stages.demo import demo  # isort: skip

__all__ = [  # noqa: RUF022
    "source",
    "tiles",
    "images",
    "processed",
    "process",
    "tasks",
    "models",
    "embeddings",
    "probes",
    "knn",
    "demo",
]
