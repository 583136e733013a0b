"""Measures `geojepa review` by injected errors, and prints JSON.

Errors are drawn by seed (`review_errors.py`) and written into the tags of a region in memory: 1 % of the elements with
a building or road get a swapped building type, road class or speed limit, or become a lake. `review` then ranks all
elements with `building`, `highway`, `maxspeed` or a kind of area. Precision is the share of injected errors among the
first elements. Real errors count as false, so it is a lower bound.

The vectors are computed once, from the tags without errors: a family's own tags are hidden from the model on all
entities, so its errors cannot change its vectors. Only errors of other families, visible to the model, are missing.

Two rules are compared on the same elements: `tag frequency` (the rarest value of its key in the region first), and
`neighbourhood frequency` (the value that is rarest among the other elements of the tile with the same key; the region's
share counts as 5 elements). The second rule is also applied without the family `area`, in which most kinds are rare in
their tile. `random` is a random order. Intervals (95 %) are from a bootstrap over error seeds and
over zoom-14 groups of the first elements; differences are paired by seed.

    python benchmarks/review.py --workspace workspace --region state-college --region honolulu --seeds 5
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.review_errors import KINDS, Change, draw
from geojepa_cli import console
from geojepa_cli.config.limits import DEFAULT_LIMITS
from geojepa_cli.evaluate.review_features import Surroundings
from geojepa_cli.evaluate.review_findings import MODEL, SIMPLE, FamilyResult
from geojepa_cli.evaluate.review_heads import with_prior
from geojepa_cli.evaluate.review_scores import surprise
from geojepa_cli.stages.embedding_model import find_model
from geojepa_cli.stages.model_inputs import open_embedder
from geojepa_cli.stages.review_judge import compute_vectors, judge_rows
from geojepa_cli.stages.review_plan import ReviewPlan, choose_specs
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View
from geojepa_cli.tasks.review_rows import ReviewRows, find_rows
from geojepa_cli.tasks.tokens import Ints, RegionTokens
from geojepa_cli.workspace.workspace import Workspace

TAGS = ("building", "highway", "maxspeed", "natural")
FIRST = (50, 100, 200)
NO_AREAS = "neighbourhood frequency, no areas"
RULES = ("tag frequency", "neighbourhood frequency", NO_AREAS, "random")
METHODS = ("review", "model alone", "simple alone", *RULES)
PRIOR_COUNT = 5.0
DRAWS = 2000

Ranked = tuple[Ints, NDArray[np.bool_]]  # groups of the first elements, and True for injected errors


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures every region, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path("workspace"))
    parser.add_argument("--region", action="append", required=True)
    parser.add_argument("--model")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--scheme", choices=("uniform", "frequent"), default="uniform")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    workspace = Workspace(options.workspace)
    result = [measure(workspace, name, options.model, seeds, options.scheme) for name in options.region]
    console.emit_json("review-benchmark", None, {"scheme": options.scheme, "regions": result})
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def measure(workspace: Workspace, name: str, model: str | None, seeds: Sequence[int], scheme: Any) -> dict[str, Any]:
    """Measures one region with all seeds."""
    processed = workspace.find("processed", name)
    chosen = find_model(workspace, model, [processed])
    specs, _ = choose_specs(TAGS)
    plan = ReviewPlan(processed, chosen, specs, None, max(FIRST), False, DEFAULT_LIMITS, 0)
    store = TileStore.open([processed.file("processed.h5")], names=[name])
    tokens, view = RegionTokens(store.regions[0]), View.default(store)
    embedder = open_embedder(chosen, store, [chosen.tag_features(workspace, processed)], "cpu")
    vectors = {}
    for spec in specs:
        rows = find_rows(store, tokens, view, spec)
        vectors[spec.name] = (rows.pieces, compute_vectors(plan, store, tokens, rows, embedder, "cpu"))
    clean = tokens.tag_rows.copy()
    runs: list[dict[str, Ranked]] = []
    kinds: list[dict[str, Any]] = []
    for seed in seeds:
        started = time.process_time()
        changes = inject(tokens, clean, seed, scheme)
        around = Surroundings(tokens)
        results = []
        for spec in specs:
            rows = find_rows(store, tokens, view, spec)
            pieces, all_vectors = vectors[spec.name]
            results.append(judge_rows(plan, store, around, rows, all_vectors[np.searchsorted(pieces, rows.pieces)], 1))
        runs.append({method: rank(method, results, changes, seed) for method in METHODS})
        kinds.append(by_kind(results, changes))
        found = {method: round(float(hit[1][:100].mean()), 3) for method, hit in runs[-1].items()}
        console.note(f"{name}, seed {seed}: {found}, {time.process_time() - started:.0f} s of CPU time")
    return summary(name, chosen.ref, runs, kinds, scheme, seeds)


def inject(tokens: RegionTokens, clean: Ints, seed: int, scheme: Any) -> dict[int, Change]:
    """Writes errors into the tags of a region. Returns them by row of the element."""
    region, vocabulary = tokens.region, tokens.vocabulary
    tokens.tag_rows = clean.copy()
    number = {vocabulary.text(row): row for row in range(len(vocabulary))}
    judged = np.unique(tokens.objects)
    ways = judged[region["object/osm_type"][judged] == 1]
    spans = {row: slice(*tokens.tag_offsets[row : row + 2].tolist()) for row in ways.tolist()}
    tags = {row: {vocabulary.keys[t]: vocabulary.values[t] for t in clean[at].tolist()} for row, at in spans.items()}
    changes = draw(tags, seed, scheme)
    for row, change in changes.items():
        entries = tokens.tag_rows[spans[row]]
        entries[entries == number[change.before]] = number[change.after]
    return changes


def rank(method: str, results: Sequence[FamilyResult], changes: Mapping[int, Change], seed: int) -> Ranked:
    """Returns the first elements by a method. An element is ranked once, by its highest score."""
    if method == NO_AREAS:
        results = [one for one in results if one.rows.spec.name != "area"]
    scores = np.concatenate([score_of(method, one, seed) for one in results])
    objects = np.concatenate([one.rows.objects for one in results])
    groups = np.concatenate([one.rows.groups for one in results])
    order = np.lexsort((objects, -scores))
    first = order[np.sort(np.unique(objects[order], return_index=True)[1])][: max(FIRST)]
    return groups[first], np.isin(objects[first], np.fromiter(changes, np.int64))


def score_of(method: str, result: FamilyResult, seed: int) -> NDArray[np.float64]:
    """Returns the score of each row of a family by a method."""
    rows, classes = result.rows, result.classes
    if method == "review":
        return result.surprise.score
    if method == "random":
        return np.random.default_rng(seed).random(len(rows))
    if method in ("model alone", "simple alone"):
        alone = with_prior(result.probabilities[MODEL if method == "model alone" else SIMPLE], classes.shares)
        return surprise(alone, classes.labels, classes.shares, len(classes.frequent)).score
    shares = np.bincount(rows.labels) / len(rows)
    if method == "tag frequency":
        return np.asarray(-np.log(shares[rows.labels]))
    return neighbourhood_score(rows, shares)


def neighbourhood_score(rows: ReviewRows, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns −log of the share of a row's class among the other rows of its tile."""
    cell = rows.tiles * len(shares) + rows.labels
    same, total = (
        np.bincount(np.unique(one, return_inverse=True)[1])[np.unique(one, return_inverse=True)[1]]
        for one in (cell, rows.tiles)
    )
    return np.asarray(-np.log((same - 1 + PRIOR_COUNT * shares[rows.labels]) / (total - 1 + PRIOR_COUNT)))


def by_kind(results: Sequence[FamilyResult], changes: Mapping[int, Change]) -> dict[str, Any]:
    """Returns for each kind of error its number, and how many are among the first 100 and 200 of `review`."""
    scores = np.concatenate([one.surprise.score for one in results])
    objects = np.concatenate([one.rows.objects for one in results])
    order = np.lexsort((objects, -scores))
    first = objects[order][np.sort(np.unique(objects[order], return_index=True)[1])].tolist()
    total = Counter(change.kind for change in changes.values())
    found = {n: Counter(changes[row].kind for row in first[:n] if row in changes) for n in (100, 200)}
    return {kind: {"errors": total[kind], **{f"in_first_{n}": found[n][kind] for n in found}} for kind in KINDS}


def summary(
    name: str, model: str, runs: Sequence[Mapping[str, Ranked]], kinds: Any, scheme: str, seeds: Sequence[int]
) -> dict[str, Any]:
    """Returns precision with intervals, and paired differences from `review`."""
    precision: dict[str, Any] = {}
    differences: dict[str, Any] = {}
    for n in FIRST:
        draws = {method: bootstrap([run[method] for run in runs], n) for method in METHODS}
        for method in METHODS:
            value = float(np.mean([run[method][1][:n].mean() for run in runs]))
            precision.setdefault(method, {})[f"first_{n}"] = {"value": round(value, 4), "interval": ends(draws[method])}
            if method != "review":
                own = float(np.mean([run["review"][1][:n].mean() for run in runs]))
                paired = {"value": round(own - value, 4), "interval": ends(draws["review"] - draws[method])}
                differences.setdefault(method, {})[f"first_{n}"] = paired
    return {
        "region": name,
        "model": model,
        "scheme": scheme,
        "seeds": list(seeds),
        "errors": sum(one["errors"] for one in kinds[0].values()),
        "precision": precision,
        "review_minus": differences,
        "kinds": kinds,
    }


def bootstrap(runs: Sequence[Ranked], n: int) -> NDArray[np.float64]:
    """Draws seeds, and in each the zoom-14 groups of the first n elements. Returns precisions, [DRAWS].

    The seeds that are drawn are the same for all methods, so differences are paired by seed.
    """
    chosen = np.random.default_rng(0).integers(len(runs), size=(DRAWS, len(runs)))
    rng, found = np.random.default_rng(1), np.empty((DRAWS, len(runs)))
    tables = []
    for groups, hits in runs:
        number = np.unique(groups[:n], return_inverse=True)[1]
        tables.append((np.bincount(number), np.bincount(number, weights=hits[:n])))
    for draw_number in range(DRAWS):
        for place, seed in enumerate(chosen[draw_number]):
            size, hit = tables[seed]
            picked = rng.integers(len(size), size=len(size))
            found[draw_number, place] = hit[picked].sum() / size[picked].sum()
    return found.mean(axis=1)


def ends(draws: NDArray[np.float64]) -> list[float]:
    """Returns the 95 % interval of draws."""
    return [round(float(end), 4) for end in np.percentile(draws, (2.5, 97.5))]


if __name__ == "__main__":
    main()
