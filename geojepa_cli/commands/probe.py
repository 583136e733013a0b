"""`geojepa probe`: measures how well embeddings predict the label of a task, or find tiles with the same feature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from geojepa_cli import console, hints, stages
from geojepa_cli.commands import options
from geojepa_cli.commands.examples import example
from geojepa_cli.commands.tables.probe import print_probe
from geojepa_cli.commands.tables.retrieval import print_retrieval
from geojepa_cli.config.language_model import TILES, with_language_models
from geojepa_cli.errors import UsageError
from geojepa_cli.stages.probes import REPORT_FILE
from geojepa_cli.stages.retrieval_plan import K
from geojepa_cli.workspace.artifact import Artifact

ONLY_RETRIEVAL = ("space", "k")
ONLY_HEADS = (
    *("head", "seeds", "labels", "fold", "embeddings", "without_shared"),
    *("base_url", "api_key_env", "max_cost", "price_in", "price_out", "tiles"),
)

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
    int | None, typer.Option("--tiles", help=f"Number of test tiles to ask a language model about. Default: {TILES}.")
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


@example(retrieval=True, masked=True, space=["raw", "centred", "balanced"])
@example(task="max_speed", embeddings="mine=vectors.parquet")
@example(task="max_speed", masked=True)
def probe(
    ctx: typer.Context,
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
    device: options.Device = "auto",
    threads: options.Threads = options.default_threads(),
    json: options.Json = False,
) -> None:
    """Test how well the embeddings of models predict the labels of tasks. Computes missing embeddings first."""
    workspace = options.workspace(ctx)
    _check_kind(ctx, retrieval)
    if retrieval:
        k = K if k is None else k
        made = stages.probe_retrieval(workspace, task, model, region, masked, space, k, seed, device, threads)
        _print(made, json, print_retrieval)
        return
    models = with_language_models(model, base_url, api_key_env, max_cost, price_in, price_out, tiles)
    given = (models, region, masked, head, seed, without_shared, device, threads, seeds, labels, fold, embeddings)
    made = stages.probe(workspace, task, *given)
    _print(made, json, print_probe)


def _check_kind(ctx: typer.Context, retrieval: bool) -> None:
    """Checks that all options belong to the kind of probe: searches with `--retrieval`, or heads without it.

    Raises:
        UsageError: an option belongs to the other kind.
    """
    for param in ctx.command.params:
        if param.name in (ONLY_HEADS if retrieval else ONLY_RETRIEVAL) and options.is_given(ctx, param.name):
            option = param.opts[0]
            if retrieval:
                message = f"`{option}` cannot be combined with `--retrieval`, which trains no heads"
                raise UsageError(message, hints.instead(("--retrieval", None)))
            raise UsageError(f"`{option}` requires `--retrieval`", hints.again(retrieval=True))


def _print(made: Sequence[Artifact], json: bool, show: Callable[[dict[str, Any], Artifact], None]) -> None:
    reports = [(artifact, artifact.read_json(REPORT_FILE)) for artifact in made]
    if json:
        console.emit_json_each("probe", [(artifact.ref, report) for artifact, report in reports])
        return
    for artifact, report in reports:
        show(report, artifact)
