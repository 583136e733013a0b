"""Demo: generates a city, runs every stage on this city, and checks that the task labels are correct."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from geojepa_cli import console, hints, native
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.stages.features import DEFAULT_ENCODER, check_encoder, process, tag_features
from geojepa_cli.stages.images import make_images
from geojepa_cli.stages.models import pretrain
from geojepa_cli.stages.neighbours import knn
from geojepa_cli.stages.photos import fetch_photos
from geojepa_cli.stages.probes import probe
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.source import make_source
from geojepa_cli.stages.stage import as_command
from geojepa_cli.stages.tasks import build_tasks
from geojepa_cli.stages.tiles import DEFAULT_ZOOM, make_tiles
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.demo.answers import KnownAnswers
    from geojepa_cli.demo.city import City

NAME = "demo"
CONFIG = "tiny.yaml"
STEPS = 100
BATCH_TOKENS = 2048  # half of the configuration's value, so that two CPU cores are enough
SIZES = ("full", "small")
ATTRIBUTION = "Demo city: made by `geojepa demo`, no real place"
VIEWS_ATTRIBUTION = "Street views of the demo city: drawn by `geojepa demo`, no photos"
TOLERANCE = 1e-3  # absolute tolerance of labels, which are stored as float32


@as_command("demo")
def demo(
    workspace: Workspace, size: str = "full", steps: int = STEPS, seed: int = 0, threads: int = 1
) -> dict[str, Artifact]:
    """Generates a city and runs every stage on this city, without network access.

    Also checks the labels of all tasks. The correct labels are known, because the city is generated.

    Args:
        workspace: workspace to publish to.
        size: `full` (480 tiles) or `small` (64 tiles).
        steps: number of training steps of the model.
        seed: random seed of the city, the splits, the model and the probes.
        threads: number of threads.

    Returns:
        A dict from stage to artifact. The keys are stages such as `tiles` and `model`; for tasks and probes, they
        include the name of the task, as in `task bridge` and `probe bridge`.

    Raises:
        UsageError: the size is neither `full` nor `small`.
        DataError: a label differs from the correct label.
    """
    from geojepa_cli.demo.city import QUERY_TILE, make_city

    if size not in SIZES:
        raise UsageError(f"unknown size `{size}`: expected {' or '.join(SIZES)}", hints.again(size=SIZES[0]))
    native.version()  # fail early if the binary or the encoder is missing
    check_encoder(DEFAULT_ENCODER)
    city = make_city(size, seed)
    done = {"source": make_demo_source(workspace, city)}
    done["tiles"] = make_tiles(workspace, done["source"], threads=threads)
    images = make_images(workspace, done["source"], zoom=DEFAULT_ZOOM)
    if images is not None:
        done["images"] = images
    done["photos"] = make_street_views(workspace, done["source"], city)
    (processed,) = process(workspace, done["tiles"], threads=threads)
    done["processed"], done["features"] = processed, tag_features(workspace, processed)
    tasks = {task.params["task"]["name"]: task for task in build_tasks(workspace, processed, seed=seed)}
    for name, task in tasks.items():
        check_answers(city.answers, name, processed, task)
        done[f"task {name}"] = task
    settings = {"train.max_steps": steps, "train.batch_tokens": BATCH_TOKENS}
    done["model"] = model = pretrain(workspace, CONFIG, processed, settings, NAME, seed, threads=threads)
    for name, task in tasks.items():
        probed = _probe(workspace, task, model, seed, threads, may_be_few=size == "small")
        if probed is not None:
            done[f"probe {name}"] = probed
    done["neighbours"] = knn(workspace, QUERY_TILE, model=model, region=processed, html=True, threads=threads)
    return done


def make_demo_source(workspace: Workspace, city: City) -> Artifact:
    """Publishes the map and the images of the generated city as a `source/` artifact.

    The artifact has no attribution to OpenStreetMap, because the city contains no OpenStreetMap data.
    """
    from geojepa_cli.demo.images import write_images
    from geojepa_cli.demo.write import write_pbf
    from geojepa_cli.sources.extract import inspect_extract
    from geojepa_cli.sources.imagery import inspect_imagery

    with tempfile.TemporaryDirectory(prefix="geojepa-demo-") as name:
        folder = Path(name)
        write_pbf(city, folder / "demo.osm.pbf")
        with console.progress("draw images", len(city.answers)) as meter:
            write_images(city, folder / "images", meter.update)
        extract, images = inspect_extract(folder / "demo.osm.pbf"), inspect_imagery(folder / "images")
        return make_source(workspace, NAME, extract, images, [ATTRIBUTION])


def make_street_views(workspace: Workspace, source: Artifact, city: City) -> Artifact:
    """Publishes drawn street views of the generated city as a `photos/` artifact."""
    from geojepa_cli.demo.street_views import write_street_views

    with tempfile.TemporaryDirectory(prefix="geojepa-demo-") as name:
        with console.progress("draw street views", len(city.answers)) as meter:
            table = write_street_views(city, Path(name), meter.update)
        return fetch_photos(workspace, table, source, attribution=[VIEWS_ATTRIBUTION])


def check_answers(answers: KnownAnswers, task: str, processed: Artifact, artifact: Artifact) -> None:
    """Compares the labels of a task with the correct labels, which are known because the city is generated.

    Args:
        answers: dict from tile name to a dict from task name to correct label; None for a tile without a label.
        task: name of the task.
        processed: `processed/` artifact of the city.
        artifact: `tasks/` artifact of the task.

    Raises:
        DataError: labels differ. The message contains the number of wrong labels and the first wrong label.
    """
    import numpy as np

    from geojepa_cli.store.store import TileStore
    from geojepa_cli.tasks.dataset import TaskData

    store = TileStore.open([processed.file(PROCESSED_FILE)], names=[processed.name])
    labels = TaskData.open(store, [artifact]).labels
    names = [f"{z}_{x}_{y}" for z, x, y in store.tile_zxy.tolist()]
    expected = np.array([np.nan if (known := answers[name][task]) is None else known for name in names])
    wrong = np.flatnonzero(~np.isclose(labels, expected, rtol=0, atol=TOLERANCE, equal_nan=True))
    if len(wrong):
        first = wrong[0]
        raise DataError(
            f"{len(wrong)} of {len(names)} labels of the task `{task}` are wrong in the demo city, the first in tile "
            f"`{names[first]}`: got {labels[first]:g}, expected {expected[first]:g}",
            hints.run("doctor"),
        )


def _probe(
    workspace: Workspace, task: Artifact, model: Artifact, seed: int, threads: int, may_be_few: bool
) -> Artifact | None:
    """Trains and tests a linear head that predicts the label of a task from the model's embeddings.

    The embeddings are computed without the tags and entities that reveal the label.

    Args:
        workspace: workspace that contains the task and the model.
        task: `tasks/` artifact of the city.
        model: `models/` artifact, trained on the city.
        seed: random seed of the cross-validation folds and the head.
        threads: number of threads.
        may_be_few: True for a city that may have too few tiles to train a head. A `DataError` is then printed as a
            warning.

    Returns:
        The `probes/` artifact, or None if a warning was printed.
    """
    try:
        return probe(workspace, task, model, masked=True, head="linear", seed=seed, threads=threads)
    except DataError as error:
        if not may_be_few:
            raise
        console.warn(f"the task `{task.name}` was not probed: {error.message}")
        return None
