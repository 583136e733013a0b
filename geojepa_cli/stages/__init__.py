"""Python API of the commands: one function per command.

Importing this package makes all kinds of artifacts, such as `tiles` and `models`, known to workspaces.
"""

# in the order in which the stages run; `geojepa artifacts` lists kinds in this order
from geojepa_cli.stages.source import fetch  # isort: skip
from geojepa_cli.stages.source_plan import plan_fetch  # isort: skip
from geojepa_cli.stages.tiles import tile  # isort: skip
from geojepa_cli.stages import images as _images  # isort: skip  # noqa: F401 - registers its kind
from geojepa_cli.stages.photos import fetch_photos, plan_photos  # isort: skip
from geojepa_cli.stages.features import process  # isort: skip
from geojepa_cli.stages.tasks import build_tasks  # isort: skip
from geojepa_cli.stages.file_labels import build_labels  # isort: skip
from geojepa_cli.stages.task_analysis import analyze_task  # isort: skip
from geojepa_cli.stages.exports import export_task  # isort: skip
from geojepa_cli.stages.models import pretrain  # isort: skip
from geojepa_cli.stages.embedding_runs import embed  # isort: skip
from geojepa_cli.stages.probes import probe  # isort: skip
from geojepa_cli.stages.entity_probes import probe_entities  # isort: skip
from geojepa_cli.stages.retrieval import probe_retrieval  # isort: skip
from geojepa_cli.stages.point_probes import probe_entity_image, probe_offset  # isort: skip
from geojepa_cli.stages.reports import report  # isort: skip
from geojepa_cli.stages.sweeps import plan_sweep, sweep  # isort: skip
from geojepa_cli.stages.neighbours import knn  # isort: skip
from geojepa_cli.stages.heatmaps import heatmap  # isort: skip
from geojepa_cli.stages.reviews import review  # isort: skip
from geojepa_cli.stages.vector_exports import export  # isort: skip
from geojepa_cli.stages.model_exports import export_model  # isort: skip
from geojepa_cli.stages.explore import explore  # isort: skip
from geojepa_cli.stages.demo import demo  # isort: skip
from geojepa_cli.stages.artifacts import artifacts, prune, verify  # isort: skip

__all__ = [  # noqa: RUF022
    "fetch",
    "plan_fetch",
    "fetch_photos",
    "plan_photos",
    "tile",
    "process",
    "build_tasks",
    "build_labels",
    "analyze_task",
    "export_task",
    "pretrain",
    "embed",
    "probe",
    "probe_entities",
    "probe_retrieval",
    "probe_entity_image",
    "probe_offset",
    "report",
    "plan_sweep",
    "sweep",
    "knn",
    "heatmap",
    "review",
    "export",
    "export_model",
    "explore",
    "demo",
    "artifacts",
    "verify",
    "prune",
]
