"""`geojepa probe`: measures how well embeddings predict the label of a task, and how well searches find things."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from geojepa_cli import console, stages
from geojepa_cli.commands import options
from geojepa_cli.commands.examples import example
from geojepa_cli.commands.probe_kinds import RETRIEVAL, find_kind
from geojepa_cli.commands.tables.point_probe import print_entity_image, print_offset
from geojepa_cli.commands.tables.probe import print_probe
from geojepa_cli.commands.tables.retrieval import print_retrieval
from geojepa_cli.config.language_model import TILES, with_language_models
from geojepa_cli.stages.point_probe_plan import TILES as POINT_TILES
from geojepa_cli.stages.point_probes import ENTITY_IMAGE, OFFSET
from geojepa_cli.stages.probes import REPORT_FILE
from geojepa_cli.stages.retrieval_plan import K
from geojepa_cli.workspace.artifact import Artifact

What = Annotated[
    str | None,
    typer.Argument(
        metavar=ENTITY_IMAGE,
        show_default=False,
        help=f"With `--retrieval`: `{ENTITY_IMAGE}` tests if a GAIR model finds the tags of the entity at a point of "
        "an image, and the point of an entity with given tags.",
    ),
]
TaskNames = Annotated[
    list[str] | None,
    typer.Option(
        "--task",
        help="Name of a task that was built by `build-tasks`. Repeat for several. Default: all of them. With "
        "`--retrieval`: map feature such as `cemetery`, or entity task such as `building_class`, or the path "
        "of a YAML file that defines another. Default: all map features of the package.",
    ),
]
ModelNames = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help="Model to test. Repeat for several models. `llm:NAME` asks the language model NAME, which must read "
        "images, at `--base-url`. Default: the newest model or, if there is none, `geojepa-small`, which comes with "
        "geojepa.",
    ),
]
TestRegions = Annotated[
    list[str] | None,
    typer.Option(
        "--region",
        help="Region to test on. Repeat for several. Default: the only region in the workspace. If there are several: "
        "all regions that the models did not see in pretraining.",
    ),
]
Heads = Annotated[
    list[str] | None,
    typer.Option(
        "--head",
        help="Head to train on the embeddings: `linear` (ridge regression), `sgd` (linear, by gradient descent), "
        "`mlp` or `boosting`. Repeat for several. Default: `linear` and `mlp`.",
    ),
]
Seeds = Annotated[
    int, typer.Option("--seeds", help="Number of seeds over which scores are averaged. The first is `--seed`.")
]
Labels = Annotated[
    list[float] | None,
    typer.Option(
        "--labels",
        help="Also train the heads with only this share of the labels, such as 0.1. Repeat for a learning curve.",
    ),
]
Fold = Annotated[
    int | None,
    typer.Option(
        "--fold",
        help="Test only this fold of the task. Default: all folds. If a model was pretrained with `--fold` on the "
        "tested regions: the fold that pretraining left out.",
    ),
]
BaseUrl = Annotated[
    str | None,
    typer.Option(
        "--base-url",
        help="Address of the OpenAI-compatible API for `--model llm:NAME`, such as `http://localhost:8000/v1`.",
    ),
]
KeyVariable = Annotated[
    str | None,
    typer.Option("--api-key-env", help="Name of the environment variable that holds the API key for `--base-url`."),
]
MaxCost = Annotated[
    float | None,
    typer.Option("--max-cost", help="Maximum cost in USD of all requests to a language model in this run."),
]
PriceIn = Annotated[
    float | None, typer.Option("--price-in", help="Price in USD of a million tokens sent to the language model.")
]
PriceOut = Annotated[
    float | None, typer.Option("--price-out", help="Price in USD of a million tokens that the language model returns.")
]
Tiles = Annotated[
    int | None,
    typer.Option(
        "--tiles",
        help=f"Number of test tiles to ask a language model about. Default: {TILES}. With `{ENTITY_IMAGE}` or "
        f"`--offset`: number of tiles to test, in whole zoom-14 tiles. Default: {POINT_TILES:,}.",
    ),
]

VectorFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--embeddings",
        help="Parquet file with your own vectors of tiles, to test like a model: `FILE` or `NAME=FILE`. A column "
        "`tile` or a geometry says where a vector belongs. Repeat for several files. Without `--model`, no other model "
        "is tested.",
    ),
]

Retrieval = Annotated[
    bool,
    typer.Option(
        "--retrieval",
        help="Test searches instead of heads: does a search with a tile find others with the same map feature, or a "
        "search with an entity others of its class? `--masked` hides what defines the feature or class.",
    ),
]
Offset = Annotated[
    bool,
    typer.Option(
        "--offset",
        help="Test how much worse a GAIR model finds the tags of the entity at a point when the point is moved by 0 to "
        "160 m.",
    ),
]
Spaces = Annotated[
    list[str] | None,
    typer.Option(
        "--space",
        help="With `--retrieval`: space in which vectors are compared, `raw`, `centred`, `balanced` or `whitened`. "
        "Repeat for several. Default: that of `knn`.",
    ),
]
Neighbours = Annotated[
    int | None, typer.Option("--k", help=f"With `--retrieval`: number of nearest tiles that count. Default: {K}.")
]


@example(offset=True, model="gair")
@example(ENTITY_IMAGE, retrieval=True, model="gair")
@example(retrieval=True, masked=True, space=["raw", "centred", "balanced"])
@example(task="max_speed", embeddings="mine=vectors.parquet")
@example(task="max_speed", masked=True)
def probe(
    ctx: typer.Context,
    what: What = None,
    task: TaskNames = None,
    model: ModelNames = None,
    region: TestRegions = None,
    masked: Annotated[
        bool, typer.Option("--masked", help="Hide from the models the tags and entities that reveal the label.")
    ] = False,
    head: Heads = None,
    seed: options.Seed = 0,
    seeds: Seeds = 1,
    labels: Labels = None,
    fold: Fold = None,
    embeddings: VectorFiles = None,
    without_shared: Annotated[
        bool,
        typer.Option(
            "--without-shared",
            help="Also test embeddings made without OSM elements that lie in several zoom-14 tiles. "
            "Such elements can be in both training data and test data.",
        ),
    ] = False,
    base_url: BaseUrl = None,
    api_key_env: KeyVariable = None,
    max_cost: MaxCost = None,
    price_in: PriceIn = None,
    price_out: PriceOut = None,
    tiles: Tiles = None,
    retrieval: Retrieval = False,
    space: Spaces = None,
    k: Neighbours = None,
    offset: Offset = False,
    device: options.Device = "auto",
    threads: options.Threads = options.default_threads(),
    json: options.Json = False,
) -> None:
    """Test how well the embeddings of models predict the labels of tasks. Computes missing embeddings first."""
    workspace, kind = options.workspace(ctx), find_kind(ctx, what)
    if kind == RETRIEVAL:
        k = K if k is None else k
        found = stages.probe_retrieval(workspace, task, model, region, masked, space, k, seed, device, threads)
        _print(found, json, print_retrieval)
    elif kind in (ENTITY_IMAGE, OFFSET):
        of_points, show = AT_POINTS[kind]
        made = of_points(workspace, model, region, POINT_TILES if tiles is None else tiles, seed, device, threads)
        _print([made], json, show)
    else:
        models = with_language_models(model, base_url, api_key_env, max_cost, price_in, price_out, tiles)
        given = (models, region, masked, head, seed, without_shared, device, threads, seeds, labels, fold, embeddings)
        _print(stages.probe(workspace, task, *given), json, print_probe)


AT_POINTS = {
    ENTITY_IMAGE: (stages.probe_entity_image, print_entity_image),
    OFFSET: (stages.probe_offset, print_offset),
}


def _print(made: Sequence[Artifact], json: bool, show: Callable[[dict[str, Any], Artifact], None]) -> None:
    reports = [(artifact, artifact.read_json(REPORT_FILE)) for artifact in made]
    if json:
        console.emit_json_each("probe", [(artifact.ref, report) for artifact, report in reports])
        return
    for artifact, report in reports:
        show(report, artifact)
