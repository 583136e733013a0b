"""`geojepa process`: tiles become model-ready columns, and the vocabulary its text embeddings."""

from __future__ import annotations

from typing import Annotated

import typer

from geojepa_cli import console, native
from geojepa_cli.commands import options
from geojepa_cli.stages.features import make_features
from geojepa_cli.stages.processed import make_processed


def process(
    ctx: typer.Context,
    region: options.Regions = None,
    simplify_m: Annotated[float, typer.Option(min=0.0, help="Tolerance of the simplification in metres.")] = 0.5,
    visibility_k: Annotated[int, typer.Option(min=0, help="Visibility edges per node.")] = 1,
    text_encoder: Annotated[
        str, typer.Option(help="Encoder of the tags' descriptions: `minilm`, or `none`.")
    ] = "minilm",
    threads: options.Threads = options.default_threads(),
    json: options.Json = False,
) -> None:
    """Make a region's tiles ready for models.

    Example: geojepa process --region state-college
    """
    native.check_threads(threads)
    workspace = options.workspace(ctx)
    sources = workspace.regions("tiles", region)
    if text_encoder != "none":
        from geojepa_cli.tags.encoder import encoder_identity

        encoder_identity(text_encoder)  # so that a wrong or missing one is told before any work
    made = []
    for tiles in sources:
        processed = make_processed(workspace, tiles, simplify_m, visibility_k, threads)
        features = make_features(workspace, processed, text_encoder) if text_encoder != "none" else None
        counts = processed.manifest["counts"]
        made.append((processed.ref, {"counts": counts, "features": features.ref if features else None}))
        if json:
            continue
        rows = [(name.replace("_", " "), f"{value:,}") for name, value in counts.items() if isinstance(value, int)]
        console.table(f"processed/{processed.ref}", ["", "count"], rows)
        if features:
            rows = [(name.replace("_", " "), f"{value:,}") for name, value in features.manifest["counts"].items()]
            console.table(f"features/{features.ref}", ["", "count"], rows)
    if json:
        console.emit_json_each("process", made)
