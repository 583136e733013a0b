"""Stage `reviews/`: finds entities whose tag disagrees with what their surroundings, shape and other tags suggest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from geojepa_cli import hints
from geojepa_cli.errors import UsageError
from geojepa_cli.hints import Hint
from geojepa_cli.stages.device import check_device
from geojepa_cli.stages.embedded_view import check_entity_vectors
from geojepa_cli.stages.embedding_model import find_model
from geojepa_cli.stages.embeddings import check_region, images_of_model
from geojepa_cli.stages.entity_limits import entity_limits
from geojepa_cli.stages.geometry_features import FILE as GEOMETRY_FILE
from geojepa_cli.stages.image_features import FILE as TOKENS_FILE
from geojepa_cli.stages.images import FILE as IMAGES_FILE
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.rebuild import input_refs, limit_options, number, short_ref, text, texts
from geojepa_cli.stages.review_files import CSV_FILE, GEOJSON_FILE, JSON_FILE, write_files
from geojepa_cli.stages.review_judge import judge_families
from geojepa_cli.stages.review_plan import ReviewPlan, choose_specs, find_families
from geojepa_cli.stages.shipped import noting_version
from geojepa_cli.stages.stage import Stage, as_command, find_regions, rebuilding
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.kinds import Remains
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.store.store import TileStore

DEFAULT_K = 200


def _rebuild(remains: Remains) -> Hint:
    params = remains.params
    region, _, name = remains.name.partition(".")
    model = text(params.get("model"))
    again = hints.run(
        "review",
        region=input_refs(remains, "processed") or region,
        model=short_ref(remains, "models", model) if model else name or None,
        tag=texts(params.get("keys")) or None,
        k=number(params.get("k"), DEFAULT_K),
        seed=number(params.get("seed")),
        html=params.get("html") is True,
        **limit_options(params),
    )
    return noting_version(again, [model] if model else [])


REVIEWS = Stage(
    "reviews",
    version=1,
    rebuild=_rebuild,
    variant=("keys", "html", "seed"),
    files=(JSON_FILE, GEOJSON_FILE, CSV_FILE),
)


@as_command("review")
def review(
    workspace: Workspace,
    region: str | Artifact | None = None,
    model: str | Artifact | None = None,
    tag: str | Sequence[str] | None = None,
    k: int = DEFAULT_K,
    html: bool = False,
    seed: int = 0,
    min_entities: int | None = None,
    max_entities: int | None = None,
    device: str = "auto",
    threads: int = 1,
) -> Artifact:
    """Finds entities whose tag disagrees with what their surroundings, their shape and their other tags suggest.

    Every entity is judged by heads that saw no entity of its zoom-14 tile (ADR 30). A disagreement is a hint, not an
    error. Nothing is changed in OpenStreetMap.

    Args:
        workspace: workspace to read from and publish to.
        region: name of the region, or artifact. Default: the only region in the workspace.
        model: name of a model or baseline, or `models/` artifact. Default: the newest model or, if there is none,
            the model that comes with the package.
        tag: keys of the tags to review, such as `highway`. Default: `all` keys with a definition.
        k: maximum number of findings.
        html: also make an HTML page with a map of each finding.
        seed: seed of the folds.
        min_entities: minimum number of entities in a tile. Default: 5.
        max_entities: maximum number of entities in a tile. Default: 1250.
        device: device for computing embeddings: `cpu`, `cuda` or `auto`.
        threads: number of threads; does not affect the result.

    Returns:
        The `reviews/` artifact with `review.json`, `review.geojson`, `review.csv` and, if `html` is set,
        `review.html`.

    Raises:
        UsageError: an argument is invalid.
        NotFoundError: there is no such region or model, or no entity has the tag.
        DataError: there are too few entities, classes or zoom-14 tiles, or an artifact is damaged.
    """
    check_device(device)
    specs, keys = choose_specs(tag)
    limits = entity_limits(min_entities, max_entities)
    processed, *others = find_regions(workspace, "processed", region)
    if others:
        message = "`review` takes one region, because heads are tested on its own zoom-14 tiles"
        raise UsageError(message, hints.again(region=processed.name))
    chosen = find_model(workspace, model, [processed])
    check_entity_vectors(chosen)
    check_region(workspace, chosen, processed, limits=limits)
    plan = ReviewPlan(processed, chosen, specs, keys, k, html, limits, seed)
    return _make(workspace, plan, device, threads)


def _make(workspace: Workspace, plan: ReviewPlan, device: str, threads: int) -> Artifact:
    processed, model = plan.region, plan.model
    features = model.tag_features(workspace, processed)
    geometry = model.geometry_features(workspace, processed, threads)
    images, tokens = images_of_model(workspace, model, processed, device, threads)
    inputs = [processed, features, *filter(None, (model.artifact, geometry, images, tokens))]

    def write(build: Build) -> Artifact:
        from geojepa_cli.tasks.tokens import RegionTokens

        store = _open(processed, geometry, images, tokens)
        with rebuilding(*inputs):
            region = RegionTokens(store.regions[0])
            families, skipped = find_families(plan, store, region)
        results = judge_families(plan, store, region, families, features, device, threads)
        lines = [*(line for one in inputs for line in one.attribution), *model.attribution]
        credits = list(dict.fromkeys(lines))
        found = write_files(build.partial, plan, region, results, skipped, credits)
        counts = {"reviewed": sum(len(one.rows) for one in results), "findings": found}
        return build.publish(counts, model.attribution, extra={"seed": plan.seed})

    return REVIEWS.make(workspace, f"{processed.name}.{model.name}", _params(plan), inputs, write)


def _params(plan: ReviewPlan) -> dict[str, Any]:
    return {
        **plan.model.params,
        "model": plan.model.ref,
        "definitions": [spec.resolved() for spec in plan.specs],
        "keys": None if plan.keys is None else sorted(plan.keys),
        "k": plan.k,
        "html": plan.html,
        "seed": plan.seed,
        "min_entities": plan.limits.low,
        "max_entities": plan.limits.high,
    }


def _open(
    processed: Artifact, geometry: Artifact | None, images: Artifact | None, tokens: Artifact | None
) -> TileStore:
    from geojepa_cli.store.store import TileStore

    with rebuilding(processed, geometry, images, tokens):
        return TileStore.open(
            [processed.file(PROCESSED_FILE)],
            [images.file(IMAGES_FILE)] if images else None,
            [processed.name],
            [geometry.file(GEOMETRY_FILE)] if geometry else None,
            [tokens.file(TOKENS_FILE)] if tokens else None,
        )
