"""`geojepa process`: tiles become model-ready columns, and the vocabulary its text embeddings."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from geojepa_cli import console, native
from geojepa_cli.commands import options
from geojepa_cli.errors import DataError
from geojepa_cli.workspace import Artifact, Workspace, remake_hint

STAGE_VERSION = 2  # since 2, rounding is within the tolerance of the simplification
FEATURES_STAGE_VERSION = 1


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
        processed = build_processed(workspace, tiles, simplify_m, visibility_k, threads)
        features = build_features(workspace, processed, text_encoder) if text_encoder != "none" else None
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
        console.emit_json_of("process", made)


def build_processed(
    workspace: Workspace, tiles: Artifact, simplify_m: float = 0.5, visibility_k: int = 1, threads: int = 1
) -> Artifact:
    """Publishes `processed/<region>`: `processed.h5`, the layout of docs/formats.md."""
    params = {"simplify_m": simplify_m, "visibility_k": visibility_k}
    with workspace.build("processed", tiles.name, params, [tiles], STAGE_VERSION) as build:
        if build.existing:
            console.note(f"processed/{build.existing.ref} is up to date, skipping")
            return build.existing
        arguments = ["process", "--input", str(tiles.file("tiles.h5")), "--output", str(build.partial / "processed.h5")]
        arguments += ["--simplify-m", repr(simplify_m), "--visibility-k", str(visibility_k), "--threads", str(threads)]
        remake = remake_hint("tiles", tiles.name, inputs=tiles.inputs)
        try:
            summary = native.run(arguments, f"process {tiles.name}", remake)
        except DataError as error:
            if error.hint == remake and tiles.verify():  # of the right size, so that `tile` alone would skip it
                raise DataError(error.message, hint=f"rm -r {shlex.quote(str(tiles.path))} && {remake}") from error
            raise
        extra = {"crs": "tile-local east, north", "units": {"box": "tile", "xy": "tile"}}
        return build.publish(counts=summary["counts"], extra=extra)


def build_features(workspace: Workspace, processed: Artifact, encoder: str = "minilm") -> Artifact:
    """Publishes `features/<region>`: `tags.h5`, one text embedding per row of the vocabulary.

    Raises:
        MissingExtraError: the encoder's package is not installed.
    """
    from geojepa_cli.tags.encoder import encoder_identity
    from geojepa_cli.tags.features import write_tag_features

    params = encoder_identity(encoder)
    with workspace.build("features", processed.name, params, [processed], FEATURES_STAGE_VERSION) as build:
        if build.existing:
            console.note(f"features/{build.existing.ref} is up to date, skipping")
            return build.existing
        counts = write_tag_features(processed.file("processed.h5"), build.partial / "tags.h5", encoder)
        return build.publish(counts=counts)
