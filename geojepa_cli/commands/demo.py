"""`geojepa demo`: makes a city, runs every stage on it without a network, and ends with a page of neighbours."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geojepa_cli import console, native
from geojepa_cli.commands import options
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.stages.embeddings import Model
from geojepa_cli.stages.features import make_features
from geojepa_cli.stages.images import make_images
from geojepa_cli.stages.models import make_model
from geojepa_cli.stages.neighbours import make_neighbours
from geojepa_cli.stages.probes import make_probe
from geojepa_cli.stages.processed import make_processed
from geojepa_cli.stages.source import make_source
from geojepa_cli.stages.tasks import build_region, find_specs
from geojepa_cli.stages.tiles import make_tiles
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.demo.answers import KnownAnswers
    from geojepa_cli.demo.city import City

NAME = "demo"
CONFIG = "tiny.yaml"
STEPS = 100
BATCH_TOKENS = 2048  # half of the config's, for the sake of two cores
SIZES = ("full", "small")
ATTRIBUTION = "Demo city: made by `geojepa demo`, no real place"
TOLERANCE = 1e-3  # of labels that are stored as float32


def demo(
    ctx: typer.Context,
    size: Annotated[str, typer.Option(help="`full` (480 tiles) or `small` (64 tiles).")] = "full",
    steps: Annotated[int, typer.Option(min=1, help="Training steps.")] = STEPS,
    seed: options.Seed = 0,
    threads: options.Threads = options.default_threads(),
    json: options.Json = False,
) -> None:
    """Make a city and run every stage on it, offline.

    Example: geojepa demo
    """
    if size not in SIZES:
        raise UsageError(f"unknown size `{size}`", "--size full or --size small")
    started = time.monotonic()
    native.version()  # so that a missing binary is told before any work
    _check_encoder()
    workspace = options.workspace(ctx)
    done = run_demo(workspace, size, seed, steps, threads)
    page = str(done["neighbours"].file("neighbours.html"))
    if json:
        refs = {stage: artifact.ref for stage, artifact in done.items()}
        console.emit_json("demo", done["neighbours"].ref, {"artifacts": refs, "page": page})
        return
    say(done, page, time.monotonic() - started)


def run_demo(workspace: Workspace, size: str, seed: int, steps: int, threads: int) -> dict[str, Artifact]:
    """Every stage in order.

    Returns:
        The artifacts by what they are called in the summary.

    Raises:
        DataError: a label differs from the city's known answer.
    """

    from geojepa_cli.config.schema import load_config
    from geojepa_cli.demo.city import QUERY_TILE, make_city

    done: dict[str, Artifact] = {}
    city = make_city(size, seed)
    done["source"] = build_demo_source(workspace, city)
    done["tiles"] = make_tiles(workspace, done["source"], threads=threads)
    images = make_images(workspace, done["source"], zoom=16)
    if images is not None:
        done["images"] = images
    done["processed"] = processed = make_processed(workspace, done["tiles"], threads=threads)
    done["features"] = make_features(workspace, processed)
    specs = find_specs(None)
    tasks = build_region(workspace, processed, specs, seed)
    for spec, artifact in zip(specs, tasks, strict=True):
        check_answers(city.answers, spec.name, processed, artifact)
        done[f"task {spec.name}"] = artifact
    config = load_config(CONFIG, [f"train.max_steps={steps}", f"train.batch_tokens={BATCH_TOKENS}"])
    done["model"] = make_model(workspace, [processed], config, NAME, seed, threads=threads)
    models = [Model(NAME, done["model"]), Model("tagpool", None)]
    for spec, artifact in zip(specs, tasks, strict=True):
        probe = probe_task(workspace, processed, artifact, models, seed, threads, may_be_few=size == "small")
        if probe is not None:
            done[f"probe {spec.name}"] = probe
    done["neighbours"] = make_neighbours(
        workspace, models[0], [processed], QUERY_TILE, None, html=True, threads=threads
    )
    return done


def build_demo_source(workspace: Workspace, city: City) -> Artifact:
    """Publishes the city's map and images as `fetch --pbf` does, but not as OpenStreetMap's: it is invented."""

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


def probe_task(
    workspace: Workspace,
    processed: Artifact,
    task: Artifact,
    models: Sequence[Model],
    seed: int,
    threads: int,
    may_be_few: bool,
) -> Artifact | None:
    """Probes a task's masked variant with the linear head; None where a small city has too few tiles for it."""

    try:
        return make_probe(workspace, [processed], [task], models, True, ("linear",), seed, threads=threads)
    except DataError as error:
        if not may_be_few:
            raise
        console.warn(f"`{task.name}` is not probed: {error.message}")
        return None


def check_answers(answers: KnownAnswers, task: str, processed: Artifact, artifact: Artifact) -> None:
    """Compares a task's labels with what the city was built to have.

    Raises:
        DataError: some differ; says how many, and the first.
    """
    import numpy as np

    from geojepa_cli.store.store import TileStore
    from geojepa_cli.tasks.dataset import TaskData

    store = TileStore.open([processed.file("processed.h5")], names=[processed.name])
    labels = TaskData.open(store, [artifact]).labels
    names = [f"{z}_{x}_{y}" for z, x, y in store.tile_zxy.tolist()]
    expected = np.array([np.nan if (known := answers[name][task]) is None else known for name in names])
    wrong = np.flatnonzero(~np.isclose(labels, expected, rtol=0, atol=TOLERANCE, equal_nan=True))
    if len(wrong):
        first = wrong[0]
        raise DataError(
            f"{len(wrong)} of {len(names)} labels of `{task}` differ from the demo city's known answers, the first in "
            f"tile `{names[first]}`: got {labels[first]:g}, expected {expected[first]:g}",
            hint="geojepa doctor",
        )


def say(done: dict[str, Artifact], page: str, seconds: float) -> None:
    """What was made, what the probes say, and where the page is."""
    rows = [(stage, f"{artifact.kind}/{artifact.ref}", _told(artifact)) for stage, artifact in done.items()]
    console.table("what was done", ["stage", "artifact", "counts"], rows)
    probes = [artifact for stage, artifact in done.items() if stage.startswith("probe ")]
    columns, figures = _figures(probes)
    if figures:
        console.table("MAE divided by Dummy's, masked, cross-validated over zoom-14 groups", columns, figures)
    console.print_line(f"all labels equal the city's known answers; done in {seconds:.0f} s")
    console.print_line("")
    console.print_line("the neighbours of downtown, as a page:")
    console.print_line(page)
    console.print_line("")
    console.print_line("next: geojepa probe --task max_speed")
    console.print_line("      geojepa knn --tile 16_18052_25957")


def _figures(probes: Sequence[Artifact]) -> tuple[list[str], list[list[str]]]:
    """A row per task, a column per model."""
    import json

    names: list[str] = []
    by_task: dict[str, dict[str, str]] = {}
    for probe in probes:
        report = json.loads(probe.file("report.json").read_text(encoding="utf-8"))
        for figure in report["figures"]:
            if figure["relative"] is not None:
                names += [] if figure["model"] in names else [figure["model"]]
                by_task.setdefault(report["task"], {})[figure["model"]] = f"{figure['relative']:.2f}"
    return ["task", *names], [[task, *(row.get(name, "–") for name in names)] for task, row in by_task.items()]


def _told(artifact: Artifact) -> str:
    counts: dict[str, Any] = artifact.manifest["counts"]
    numbers = {name: value for name, value in counts.items() if isinstance(value, int)}
    if artifact.kind == "models":
        numbers = {name: numbers[name] for name in ("tiles", "steps", "parameters")}
    return ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in list(numbers.items())[:3])


def _check_encoder() -> None:
    """Raises MissingExtraError before any work where the text encoder is not installed."""
    from geojepa_cli.tags.encoder import encoder_identity

    encoder_identity("minilm")
