"""`geojepa export`: writes vectors or a model to files that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from geojepa_cli import console, hints, stages
from geojepa_cli.commands import options
from geojepa_cli.commands.examples import example
from geojepa_cli.commands.tables.counts import print_counts
from geojepa_cli.config.spaces import FORMS
from geojepa_cli.errors import UsageError
from geojepa_cli.stages.export_options import MODEL_FORMAT
from geojepa_cli.stages.vector_exports import KEPT
from geojepa_cli.workspace.artifact import Artifact

Level = Annotated[
    str | None,
    typer.Option(
        help="`tile`: one vector for each tile. `entity`: one for each map entity. `group`: one for each zoom-14 tile, "
        "the mean of its tiles. Default: `tile`."
    ),
]
Format = Annotated[
    str,
    typer.Option(
        help="`geoparquet`; `gpkg` (GeoPackage) or `fgb` (FlatGeobuf) for QGIS, with colours from the first three "
        "principal components; or `model`: the model as a folder for the Hugging Face Hub."
    ),
]
Area = Annotated[
    Path | None,
    typer.Option(
        help="GeoJSON or GeoParquet file with polygons: one vector for each polygon, the mean of its tiles weighted by "
        "shared area. Properties of the file are kept."
    ),
]
Crs = Annotated[
    str | None,
    typer.Option(help="With `--area`: CRS of the coordinates, such as `EPSG:2248`. Default: the CRS of the file."),
]
Dtype = Annotated[
    str,
    typer.Option(
        help="Type of the values: `float32`, `float16`, or `int8` with a scale and an offset for each dimension."
    ),
]
Dimensions = Annotated[
    int | None,
    typer.Option(help="Reduce the vectors to this number of principal components. Default: all dimensions."),
]
Space = Annotated[
    str | None,
    typer.Option(
        help=f"Map the vectors to a search space of `knn`: {', '.join(f'`{form}`' for form in FORMS)}. The dot product "
        "of two mapped vectors is their similarity in this space. `raw`: vectors stay as they are. Default: "
        "`balanced` with `--dimensions`, otherwise `raw`."
    ),
]
List = Annotated[
    str,
    typer.Option(
        "--list",
        help="Type of the lists of values in GeoParquet: `fixed`, for DuckDB, GeoPandas and pgvector, or `variable`, "
        "for readers that do not accept lists of fixed size.",
    ),
]
NoVectors = Annotated[
    bool, typer.Option("--no-vectors", help="With `--format gpkg` or `fgb`: leave out the vectors, keep the colours.")
]
Date = Annotated[
    str | None,
    typer.Option(help="Date of the map data, such as `2024-07-03`, for STAC. Default: the date in the OSM file."),
]
Out = Annotated[Path | None, typer.Option("--out", help="Also copy the files to this folder.")]


@example(format="model", model="geojepa-small", out="hub")
@example(region="state-college", area="parks.geojson")
@example(region="state-college", format="gpkg", no_vectors=True)
@example(region="state-college", level="entity", dtype="int8")
@example(region="state-college", out="vectors")
def export(
    ctx: typer.Context,
    model: options.ModelName = None,
    region: options.Regions = None,
    level: Level = None,
    format: Format = "geoparquet",
    area: Area = None,
    crs: Crs = None,
    dtype: Dtype = "float32",
    dimensions: Dimensions = None,
    space: Space = None,
    list_: List = "fixed",
    no_vectors: NoVectors = False,
    alpha: options.Alpha = 0.0,
    min_entities: options.MinEntities = None,
    max_entities: options.MaxEntities = None,
    date: Date = None,
    seed: options.Seed = 0,
    out: Out = None,
    device: options.Device = "auto",
    threads: options.Threads = options.default_threads(),
    json: options.Json = False,
) -> None:
    """Write vectors as GeoParquet, GeoPackage or FlatGeobuf, with STAC metadata, or a model as a folder.

    Computes missing embeddings first. Rounding to `int8` or reducing the dimensions changes some nearest neighbours.
    The command measures and prints the share of them that remain.
    """
    workspace = options.workspace(ctx)
    if format == MODEL_FORMAT:
        _refuse_options_of_vectors(ctx)
        made = stages.export_model(workspace, model, out)
    else:
        form = (level, format, area, crs, dtype, dimensions, space, list_, no_vectors)
        limits = (alpha, min_entities, max_entities)
        made = stages.export(workspace, model, region, *form, *limits, date, seed, out, device, threads)
    if json:
        console.emit_json("export", made.ref, _result(made))
        return
    print_counts(made)
    if kept := made.manifest.get(KEPT):
        console.print_line(describe_kept(kept))
    if out is not None:
        console.print_line(f"copied to {out}")


def describe_kept(kept: dict[str, Any]) -> str:
    """Returns the loss of neighbours in words.

    Args:
        kept: entry of the manifest, see `KeptNeighbours`.
    """
    share = f"{kept['share']:.1%} of the {kept['k']} nearest neighbours remain"
    interval = f"95 % interval {kept['low']:.1%} to {kept['high']:.1%}"
    queries = f"{console.counted(kept['queries'], 'query', 'queries')} in {console.counted(kept['groups'], 'group')}"
    return f"{share} ({interval}, {queries}, {kept['space']} vectors)"


def _result(made: Artifact) -> dict[str, Any]:
    files = {name: str(made.file(name)) for name in made.manifest["files"]}
    return {"path": str(made.path), "counts": made.counts, KEPT: made.manifest.get(KEPT), "files": files}


def _refuse_options_of_vectors(ctx: typer.Context) -> None:
    """Refuses options that have no effect on the folder of a model.

    Raises:
        UsageError: such an option is given.
    """
    wrong = [
        one.opts[0]
        for one in ctx.command.params
        if one.name not in (None, "model", "format", "out", "json") and options.is_given(ctx, str(one.name))
    ]
    if wrong:
        named = ", ".join(f"`{name}`" for name in wrong)
        raise UsageError(f"{named} cannot be combined with `--format model`", hints.Hint(dropped=tuple(wrong)))
