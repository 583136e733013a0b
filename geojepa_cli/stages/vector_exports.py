"""Stage `exports/`: vectors as GeoParquet, GeoPackage or FlatGeobuf, with STAC metadata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geojepa_cli import console, hints
from geojepa_cli.config.limits import EntityLimits
from geojepa_cli.config.spaces import DEFAULT_FORM
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.stages.alpha import check_alpha, check_alpha_of
from geojepa_cli.stages.device import check_device
from geojepa_cli.stages.embedded_view import check_entity_vectors
from geojepa_cli.stages.embedding_model import Model, find_model
from geojepa_cli.stages.embeddings import check_region, make_embeddings
from geojepa_cli.stages.entity_limits import entity_limits
from geojepa_cli.stages.export_files import ATTRIBUTION_FILE, check_folder, copy_files, write_json
from geojepa_cli.stages.export_layers import AreaFile, dates_of, open_layer, open_regions, read_areas
from geojepa_cli.stages.export_options import NAMES, ExportOptions, check_export_options, default_form
from geojepa_cli.stages.export_rebuild import rebuild_export
from geojepa_cli.stages.model_exports import published_model, weights_urn
from geojepa_cli.stages.neighbour_query import check_space
from geojepa_cli.stages.stage import Regions, Stage, as_command, find_regions, in_fixed_order
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.config.spaces import Form
    from geojepa_cli.export.components import Moments
    from geojepa_cli.export.encoding import Encoding
    from geojepa_cli.export.neighbours_kept import KeptNeighbours
    from geojepa_cli.search.space import SearchSpace
    from geojepa_cli.stages.export_layers import ExportLayer
    from geojepa_cli.store.csr import Rows

# `stages.exports` registers the kind
# version 2 measures kept neighbours in the space of `knn`; version 3 fits the spaces of areas to tiles
VECTORS = Stage("exports", version=3, rebuild=rebuild_export, registers=False)
KEPT = "neighbours_kept"  # entry of the manifest
PROJECTION_FILE = "projection.safetensors"


@as_command("export")
def export(
    workspace: Workspace,
    model: str | Artifact | None = None,
    region: Regions = None,
    level: str | None = None,
    format: str = "geoparquet",
    area: str | Path | None = None,
    crs: str | None = None,
    dtype: str = "float32",
    dimensions: int | None = None,
    space: str | None = None,
    list_: str = "fixed",
    no_vectors: bool = False,
    alpha: float = 0.0,
    min_entities: int | None = None,
    max_entities: int | None = None,
    date: str | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    device: str = "auto",
    threads: int = 1,
) -> Artifact:
    """Writes vectors of regions to a file that other programs read, and returns the `exports/` artifact.

    Embeddings that do not exist yet are computed first.

    Args:
        workspace: workspace to read from and publish to.
        model, region: as for `embed`. Default: the newest model, and the only region in the workspace.
        level, format: `tile` (default), `entity`, or `group` (zoom-14 tiles); `geoparquet`, `gpkg` or `fgb`.
        area, crs: GeoJSON or GeoParquet file with polygons, for one vector for each polygon; CRS of its coordinates.
        dtype, list_, no_vectors: `float32`, `float16` or `int8`; `fixed` or `variable` lists; colours alone for QGIS.
        dimensions: number of principal components. Default: all dimensions.
        space: search space of `knn` to map the vectors to. Default: `balanced` with `dimensions`, otherwise `raw`.
        alpha: weight of the entity alone in the vectors of entities, 0 to 1 (ADR 24). Requires the level `entity`.
        min_entities, max_entities: number of entities in a tile. Default: 5 and 1250.
        date, seed: date of the map data (default: that of the OSM file); seed of the queries that measure the loss.
        out, device, threads: folder for a copy of the files; device and CPU threads for computing embeddings.

    Raises:
        UsageError: an option has an unknown value, or options cannot be combined.
        NotFoundError: there is no such model, region or file.
        DataError: there is no tile to embed, no polygon lies in an embedded tile, or a file is damaged.
    """
    path, shown = (None, level or "tile") if area is None else (Path(area), "area")
    form = check_space(space or default_form(dimensions))
    options = ExportOptions(shown, format, dtype, dimensions, form, list_, no_vectors, path, crs, date, seed)
    check_export_options(options, level is not None, check_alpha(alpha))
    check_device(device)
    check_folder(out)
    limits = entity_limits(min_entities, max_entities)
    regions = in_fixed_order(find_regions(workspace, "processed", region))
    chosen = find_model(workspace, model, regions)
    if shown == "entity":
        check_entity_vectors(chosen)
    checked, file = check_alpha_of(chosen, alpha), read_areas(options)
    for one in regions:
        check_region(workspace, chosen, one, limits=limits)
    made = _Plan(workspace, chosen, regions, options, limits, checked, device, threads).make(file)
    return made if out is None else copy_files(made, Path(out))


@dataclass(frozen=True)
class _Plan:
    """An export whose options were checked."""

    workspace: Workspace
    model: Model
    regions: Sequence[Artifact]
    options: ExportOptions
    limits: EntityLimits
    alpha: float
    device: str
    threads: int

    def make(self, file: AreaFile | None) -> Artifact:
        """Publishes the export as `exports/<model>.<region>.<level>`."""
        embeddings = [
            make_embeddings(
                self.workspace, self.model, one, None, False, self.device, self.threads, self.limits, alpha=self.alpha
            )
            for one in self.regions
        ]
        dates = dates_of(self.workspace, self.regions, self.options.date)
        if dates is None:
            console.warn("the date of the map data is unknown", hints.again(date="YYYY-MM-DD"))
        params = {"model": self.model.ref, **self.options.params(), "dates": list(dates) if dates else None}
        more = f"+{len(self.regions) - 1}" if len(self.regions) > 1 else ""
        name = f"{self.model.name}.{self.regions[0].name}{more}.{NAMES[self.options.level]}"

        def write(build: Build) -> Artifact:
            return self._write(build, embeddings, file, dates)

        return VECTORS.make(self.workspace, name, params, [*self.regions, *embeddings], write)

    def _write(
        self, build: Build, embeddings: Sequence[Artifact], file: AreaFile | None, dates: tuple[str, str] | None
    ) -> Artifact:
        from geojepa_cli.export.hilbert import hilbert_order

        options = self.options
        regions = open_regions(
            self.regions, embeddings, "entity/vector" if options.level == "entity" else "tile/vector"
        )
        original = open_layer(options, regions, file)
        layer, space = _mapped(original, options.space)
        encoding, kept, moments = self._encode(original, layer, space)
        self._write_mapping(build, encoding, space)
        order = hilbert_order(layer.features.centres())
        product = self._product(build, layer, encoding, kept, dates)
        self._write_rows(build, layer, encoding, order, product, moments)
        lines = build.inherited_attribution()
        (build.partial / ATTRIBUTION_FILE).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        extra: dict[str, Any] = {"crs": "OGC:CRS84", KEPT: None if kept is None else kept.to_json()}
        counts = {**layer.counts, "dimensions": encoding.width}
        return build.publish(counts, self.model.attribution, extra)

    def _encode(
        self, original: ExportLayer, layer: ExportLayer, space: SearchSpace
    ) -> tuple[Encoding, KeptNeighbours | None, Moments | None]:
        """Returns the encoding of the vectors, its loss, and the moments for colours, each None if not needed."""
        from geojepa_cli.export.components import fit_moments, fit_projection
        from geojepa_cli.export.encoding import DecodedVectors, fit_encoding
        from geojepa_cli.export.neighbours_kept import measure_kept
        from geojepa_cli.search.space import SearchSpace
        from geojepa_cli.stages.export_space import fit_space

        options, vectors = self.options, layer.vectors
        moments = fit_moments(vectors, options.seed) if options.has_colours else None
        projection = None
        if options.dimensions is not None:
            self._check_dimensions(vectors.width)
            projection = fit_projection(fit_moments(layer.searched, options.seed), options.dimensions)
        encoding = fit_encoding(vectors, options.dtype, projection)
        if options.no_vectors or (encoding.dtype == "float32" and projection is None):
            return encoding, None, moments
        with console.progress("measure the loss of neighbours", 1) as meter:
            decoded = DecodedVectors(vectors, encoding)
            parts = () if projection else layer.parts
            # vectors that were mapped to a search space are compared as they are
            after = fit_space(decoded, parts) if space.form == "raw" else SearchSpace("raw")
            before = space if space.form == DEFAULT_FORM else fit_space(original.vectors, original.parts)
            kept = measure_kept(original.vectors, decoded, layer.features.groups(), (before, after), options.seed)
            meter.update(1)
        return encoding, kept, moments

    def _check_dimensions(self, width: int) -> None:
        if self.options.dimensions is not None and self.options.dimensions >= width:
            message = f"`--dimensions {self.options.dimensions}`: the vectors have {width} dimensions, expected fewer"
            raise UsageError(message, hints.again(dimensions=max(1, width // 4)))

    def _write_mapping(self, build: Build, encoding: Encoding, space: SearchSpace) -> None:
        """Writes what maps a vector to the stored one, if the stored one differs."""
        import torch

        from geojepa_cli.stages.export_space import space_tensors
        from geojepa_cli.store.tensors import save_tensors

        mapping = space_tensors(space)
        if encoding.projection is not None:
            mapping["components"] = torch.from_numpy(encoding.projection.components)
        if mapping:
            save_tensors(build.partial / PROJECTION_FILE, mapping)
            (build.partial / PROJECTION_FILE).chmod(0o644)

    def _product(
        self,
        build: Build,
        layer: ExportLayer,
        encoding: Encoding,
        kept: KeptNeighbours | None,
        dates: tuple[str, str] | None,
    ) -> Any:
        """Returns the facts for the STAC metadata."""
        from geojepa_cli.export.geoparquet import total_bounds
        from geojepa_cli.export.stac import Product

        options = self.options
        parameters: dict[str, Any] = {"min_entities": self.limits.low, "max_entities": self.limits.high}
        parameters |= {"alpha": self.alpha} if self.alpha else {}
        return Product(
            name=f"{build.path.name.replace('@', '-')}",
            level=options.level,
            file=options.file,
            format=options.format,
            model=self.model.ref,
            model_item=not self.model.is_baseline,
            regions=[region.name for region in self.regions],
            bounds=total_bounds(layer.features),
            dates=dates,
            attribution=list(dict.fromkeys([*build.inherited_attribution(), *self.model.attribution])),
            rows=layer.features.count,
            zoom=layer.zoom,
            chip_m=layer.chip_m,
            encoding=encoding,
            space=options.space,
            original_dtype="float16" if options.level == "entity" else "float32",
            kept=kept,
            parameters=parameters,
        )

    def _write_rows(
        self, build: Build, layer: ExportLayer, encoding: Encoding, order: Rows, product: Any, moments: Moments | None
    ) -> None:
        """Writes the file with the vectors, and the STAC metadata."""
        from geojepa_cli.export import stac
        from geojepa_cli.export.components import fit_colours
        from geojepa_cli.export.gdal_layers import Layer, write_layer
        from geojepa_cli.export.geoparquet import write_geoparquet
        from geojepa_cli.export.stac_model import model_item

        options, path = self.options, build.partial / self.options.file
        item = stac.vectors_item(product)
        with console.progress(f"write {options.file}", len(order)) as meter:
            if moments is None or options.format == "geoparquet":
                write_geoparquet(
                    path, layer.features, layer.vectors, encoding, order, product.bounds, item, options.list_, meter
                )
            else:
                stored = None if options.no_vectors else encoding
                name = NAMES[options.level]
                content = Layer(name, layer.features, layer.vectors, stored, fit_colours(moments), order)
                write_layer(path, options.format, content, meter)
        if options.no_vectors:
            return
        write_json(build.partial / stac.ITEM_FILE, item)
        write_json(build.partial / stac.COLLECTION_FILE, stac.vectors_collection(product))
        if product.model_item:
            published = published_model(self.workspace, self.model)
            write_json(build.partial / stac.MODEL_FILE, model_item(published, weights_urn(self.model)))


def _mapped(layer: ExportLayer, form: Form) -> tuple[ExportLayer, SearchSpace]:
    """Returns a layer with its vectors in a search space, and the space.

    Raises:
        DataError: the space maps all vectors to zeros.
    """
    from geojepa_cli.export.vector_rows import blocks
    from geojepa_cli.search.space import SearchSpace
    from geojepa_cli.stages.export_space import InSpace, fit_space

    if form == "raw":
        return layer, SearchSpace(form)
    space = fit_space(layer.searched, layer.parts, form)
    vectors, searched = InSpace(layer.vectors, space), InSpace(layer.searched, space)
    if not any(block.any() for _, block in blocks(searched)):
        message = f"all vectors are equal: in the space `{form}`, which subtracts their mean, they are zeros"
        raise DataError(message, hints.again(space="raw"))
    return replace(layer, vectors=vectors, searched=searched), space
