"""Stages: what each command does, callable from Python. Importing this package registers every kind of artifact."""

from geojepa_cli.stages.source import fetch  # isort: skip
from geojepa_cli.stages.tiles import tile  # isort: skip
from geojepa_cli.stages import images  # isort: skip
from geojepa_cli.stages import processed  # isort: skip
from geojepa_cli.stages import features  # isort: skip
from geojepa_cli.stages.tasks import build_tasks  # isort: skip
from geojepa_cli.stages.task_analysis import analyze_task  # isort: skip
from geojepa_cli.stages import models  # isort: skip
from geojepa_cli.stages import embeddings  # isort: skip
from geojepa_cli.stages.probes import probe  # isort: skip
from geojepa_cli.stages.reports import report  # isort: skip
from geojepa_cli.stages import neighbours  # isort: skip

# in the order in which the stages run, which is the order of `geojepa artifacts`
__all__ = [  # noqa: RUF022
    "fetch",
    "tile",
    "images",
    "processed",
    "features",
    "build_tasks",
    "analyze_task",
    "models",
    "embeddings",
    "probe",
    "report",
    "neighbours",
]
