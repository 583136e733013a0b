"""`geojepa probe`: measures how well embeddings predict the label of a task, compared with two baselines."""

from __future__ import annotations

from typing import Annotated

import typer

from geojepa_cli import console, stages
from geojepa_cli.commands import options
from geojepa_cli.commands.examples import example
from geojepa_cli.commands.tables.probe import print_probe
from geojepa_cli.config.language_model import TILES, with_language_models
from geojepa_cli.stages.probes import REPORT_FILE

TaskNames = Annotated[
    list[str] | None,
    typer.Option(
        "--task",
        help="Name of a task that was built by `build-tasks`. Repeat for several. Default: all of them.",
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
    device: options.Device = "auto",
    threads: options.Threads = options.default_threads(),
    json: options.Json = False,
) -> None:
    """Test how well the embeddings of models predict the labels of tasks. Computes missing embeddings first."""
    workspace = options.workspace(ctx)
    models = with_language_models(model, base_url, api_key_env, max_cost, price_in, price_out, tiles)
    given = (models, region, masked, head, seed, without_shared, device, threads, seeds, labels, fold, embeddings)
    made = stages.probe(workspace, task, *given)
    reports = [(artifact, artifact.read_json(REPORT_FILE)) for artifact in made]
    if json:
        console.emit_json_each("probe", [(artifact.ref, report) for artifact, report in reports])
        return
    for artifact, report in reports:
        print_probe(report, artifact)
