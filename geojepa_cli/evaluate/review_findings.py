"""Findings of a review: entities whose present tag disagrees with the prediction, with the reason in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geojepa_cli.evaluate.review_features import NEAR, Near, class_counts, describe_tags
from geojepa_cli.evaluate.review_heads import Classes, Floats, pooled, with_prior
from geojepa_cli.evaluate.review_scores import Surprise, surprise
from geojepa_cli.store.batch import OSM_TYPES
from geojepa_cli.tasks.review_rows import ReviewRows
from geojepa_cli.tasks.tokens import Ints, RegionTokens

MODEL, SIMPLE = "model", "simple"  # heads: the model's vector, and simple features
WEIGHTS = {MODEL: 0.5, SIMPLE: 0.5}
HINT = "A disagreement is a hint, not an error: look at the place before you change anything."
MOST_NAMED = 3  # classes of neighbours that a reason names


@dataclass(frozen=True)
class FamilyResult:
    """Predictions for one family of tags.

    Attributes:
        rows: the n reviewed entities.
        near: entities of the same family near them.
        classes: predicted classes.
        probabilities: of each head and of both together (`all`), by name, [n, classes].
        surprise: score of each row, and the best other class.
    """

    rows: ReviewRows
    near: Near
    classes: Classes
    probabilities: Mapping[str, Floats]
    surprise: Surprise


@dataclass(frozen=True)
class Finding:
    """An entity whose present tag disagrees with the prediction.

    Attributes:
        rank: 1 for the most surprising one.
        family: result of its family.
        row: its row in the family.
        score: logarithm to base 2 of odds, see `review_scores.surprise`.
        entity: type and id of the OSM element, such as `way/123`.
        version: OSM version of the element; None if the OSM file has no versions.
        present, suggested: present and suggested tag, such as `highway=service`.
        tags: all tags of the element.
        reason: the reason in words.
    """

    rank: int
    family: FamilyResult
    row: int
    score: float
    entity: str
    version: int | None
    present: str
    suggested: str
    tags: dict[str, str]
    reason: str

    @property
    def record_id(self) -> str | None:
        """Type, id and version in the notation of Overture Maps, such as `w123@7`; None without a version."""
        kind, _, number = self.entity.partition("/")
        return f"{kind[0]}{number}@{self.version}" if self.version else None

    def probabilities(self) -> dict[str, dict[str, float]]:
        """Returns the probabilities of the present and the suggested class, by each head and by both together."""
        label, best = int(self.family.classes.labels[self.row]), int(self.family.surprise.best[self.row])
        return {
            name: {"present": round(float(p[self.row, label]), 5), "suggested": round(float(p[self.row, best]), 5)}
            for name, p in self.family.probabilities.items()
        }


def judge(rows: ReviewRows, near: Near, classes: Classes, predicted: Mapping[str, Floats]) -> FamilyResult:
    """Combines the predictions of the heads and scores all rows of a family."""
    together = pooled([predicted[name] for name in WEIGHTS], list(WEIGHTS.values()))
    probabilities = {"all": together, **predicted}
    mixed = with_prior(together, classes.shares)
    found = surprise(mixed, classes.labels, classes.shares, len(classes.frequent))
    return FamilyResult(rows, near, classes, probabilities, found)


def find(
    tokens: RegionTokens, families: Sequence[FamilyResult], k: int, keys: frozenset[str] | None = None
) -> list[Finding]:
    """Returns the k most surprising entities of all families. An OSM element is returned once.

    Args:
        tokens: entities of the region.
        families: results of the reviewed families.
        k: maximum number of findings.
        keys: only entities whose present tag has one of these keys. None: all entities.
    """
    scores = np.concatenate([np.empty(0), *(one.surprise.score for one in families)])
    objects = np.concatenate([np.empty(0, np.int64), *(one.rows.objects for one in families)])
    family = np.repeat(np.arange(len(families)), [len(one.rows) for one in families])
    row = np.concatenate([np.empty(0, np.int64), *(np.arange(len(one.rows)) for one in families)])
    # of equal scores, the element that comes first in the file
    order = np.lexsort((family, objects, -scores))
    order = order[[_disagrees(families[family[one]], int(row[one])) for one in order.tolist()]]
    found: list[Finding] = []
    seen: set[int] = set()
    for place in order.tolist():
        result, element = families[family[place]], int(objects[place])
        tag = int(result.rows.tags[row[place]])
        if element in seen or (keys is not None and tokens.vocabulary.keys[tag] not in keys):
            continue
        seen.add(element)
        found.append(_finding(tokens, result, int(row[place]), len(found) + 1))
        if len(found) == k:
            break
    return found


def _disagrees(result: FamilyResult, row: int) -> bool:
    p = result.probabilities["all"][row]
    return bool(p[result.surprise.best[row]] > p[result.classes.labels[row]])


def _finding(tokens: RegionTokens, result: FamilyResult, row: int, rank: int) -> Finding:
    rows, region = result.rows, tokens.region
    element = int(rows.objects[row])
    best = int(result.classes.frequent[result.surprise.best[row]])
    present = tokens.vocabulary.text(int(rows.tags[row]))
    suggested = tokens.vocabulary.text(_usual_tag(rows, best))
    return Finding(
        rank=rank,
        family=result,
        row=row,
        score=float(result.surprise.score[row]),
        entity=f"{OSM_TYPES[int(region['object/osm_type'][element])]}/{int(region['object/osm_id'][element])}",
        version=int(region["object/version"][element]) or None,
        present=present,
        suggested=suggested,
        tags=describe_tags(tokens, [element])[0],
        reason=_reason(result, row, best, present),
    )


def _usual_tag(rows: ReviewRows, label: int) -> int:
    """Returns the most frequent tag of a class, as index in the vocabulary."""
    return int(np.bincount(rows.tags[rows.labels == label]).argmax())


def _reason(result: FamilyResult, row: int, best: int, present: str) -> str:
    rows, p = result.rows, result.probabilities["all"][row]
    names, label = rows.classes, int(rows.labels[row])
    own = p[result.classes.labels[row]] * _share_in_pool(result, label)
    texts = [
        f"tagged `{present}`; among {rows.spec.things} with such surroundings, shape and other tags, "
        f"{_percent(p[result.surprise.best[row]])} are `{names[best]}` and {_percent(own)} `{names[label]}`"
    ]
    near = class_counts(result.near.rows[row : row + 1, :NEAR], rows.labels, len(names))[0]
    if near.any():
        texts.append(f"neighbours: of the {int(near.sum())} nearest {rows.spec.things}, {_named(near, names)}")
    touching = result.near.touching[row]
    if touching.any():
        texts.append(f"shares vertices with {_named(touching, names)}")
    alone = result.probabilities[MODEL][row]
    texts.append(f"the model's vector alone gives `{names[best]}` {_percent(alone[result.surprise.best[row]])}")
    return "; ".join(texts)


def _share_in_pool(result: FamilyResult, label: int) -> float:
    """Returns the share of a class in its predicted class. It is 1 for frequent classes."""
    if label in result.classes.frequent:
        return 1.0
    pool = (result.classes.labels == len(result.classes.frequent)).sum()
    return float((result.rows.labels == label).sum() / pool)


def _named(counts: Ints, names: Sequence[str]) -> str:
    order = np.argsort(-counts, kind="stable")[:MOST_NAMED]
    return ", ".join(f"{int(counts[one])} `{names[one]}`" for one in order.tolist() if counts[one])


def _percent(share: float) -> str:
    if share < 0.0005:
        return "less than 0.1 %"
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"


def family_summary(result: FamilyResult) -> dict[str, Any]:
    """Returns numbers of a family for JSON: entities, classes, those left out, and how well each head predicts."""
    labels = result.classes.labels
    counts = np.bincount(result.rows.labels, minlength=len(result.rows.classes)).tolist()
    return {
        "family": result.rows.spec.name,
        "title": result.rows.spec.title,
        "keys": list(result.rows.spec.keys),
        "entities": len(result.rows),
        "groups": len(np.unique(result.rows.groups)),
        "disagreements": int((result.probabilities["all"].argmax(axis=1) != labels).sum()),
        "accuracy": {
            name: round(float((p.argmax(axis=1) == labels).mean()), 4) for name, p in result.probabilities.items()
        },
        "classes": dict(zip(result.rows.classes, counts, strict=True)),
        "left_out": result.rows.counts,
    }
