"""Tags of entities that a task leaves visible, and how much each of them says about the class."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.store import csr
from geojepa_cli.store.csr import Rows
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View
from geojepa_cli.tasks.association import information_bits
from geojepa_cli.tasks.entity_examples import EntityExamples
from geojepa_cli.tasks.tokens import RegionTokens

LISTED = 20
MIN_ENTITIES = 5  # a rarer tag is not listed


class VisibleTags(NamedTuple):
    """Visible tags of n entities in CSR form.

    Attributes:
        offsets: the tags of entity i are `rows[offsets[i]:offsets[i + 1]]`, int64 [n + 1].
        rows: tags as row numbers in the dataset's vocabulary, int64.
    """

    offsets: Rows
    rows: Rows

    @property
    def bare(self) -> NDArray[np.bool_]:
        """True for entities without any visible tag, bool [n]."""
        return np.asarray(np.diff(self.offsets) == 0, np.bool_)


def visible_tags(store: TileStore, view: View, pieces: Rows) -> VisibleTags:
    """Returns the tags of entities that a view does not hide.

    Args:
        store: dataset with the entities.
        view: selection of tiles, entities and tags.
        pieces: rows of the n entities' pieces in the dataset, ascending, int64.
    """
    counts, rows = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    compiled = store.compiled(view)
    for index, part in enumerate(compiled.regions):
        first, last = store.piece_offsets[index : index + 2]
        own = pieces[(pieces >= first) & (pieces < last)] - first
        objects = store.regions[index]["piece/object"][own].astype(np.int64)
        starts, ends = csr.spans(part.tag_ends, objects)
        counts.append(ends - starts)
        rows.append(part.tag_vocab[csr.ranges(starts, ends)].astype(np.int64) + store.vocab_offsets[index])
    return VisibleTags(csr.offsets(np.concatenate(counts)), np.concatenate(rows))


def informative_tags(
    store: TileStore, examples: EntityExamples, tags: VisibleTags, top: int = LISTED
) -> list[dict[str, Any]]:
    """Returns the visible tags that give most information about the class, as dicts for JSON, best first.

    Each dict has the tag (`key=value`, or `key=*` for any value), the number of examples with it, the mutual
    information with the class in bits, the class to which most of these examples belong, their share of the examples
    with the tag, and `only_with_key`: of all entities with the key of the tag, the share that also has the key of the
    task. A key with a high share describes the same thing as the key of the task.
    """
    owners = csr.parents(tags.offsets)
    names: dict[str, int] = {}
    keys, values = store.keys, store.values
    used = np.unique(tags.rows)
    pair_of, key_of = np.zeros(store.n_vocab, np.int64), np.zeros(store.n_vocab, np.int64)
    for row in used.tolist():
        pair_of[row] = names.setdefault(f"{keys[row]}={values[row]}", len(names))
        key_of[row] = names.setdefault(f"{keys[row]}=*", len(names))
    n_classes = len(examples.classes)
    cells = np.concatenate([pair_of[tags.rows], key_of[tags.rows]]) * len(examples.labels)
    cells = np.unique(cells + np.concatenate([owners, owners]))  # a tag that an element has twice counts once
    feature, entity = cells // len(examples.labels), cells % len(examples.labels)
    counts = np.bincount(feature * n_classes + examples.labels[entity], minlength=len(names) * n_classes)
    table = counts.reshape(len(names), n_classes)
    bits = information_bits(table, np.bincount(examples.labels, minlength=n_classes))
    texts, shares = list(names), _shares_with_key(store, examples)
    order = sorted(np.flatnonzero(table.sum(axis=1) >= MIN_ENTITIES).tolist(), key=lambda one: (-bits[one], texts[one]))
    return [
        {
            "tag": texts[one],
            "entities": int(table[one].sum()),
            "bits": round(float(bits[one]), 6),
            "class": examples.classes[int(table[one].argmax())],
            "share": round(float(table[one].max() / table[one].sum()), 4),
            "only_with_key": round(shares[texts[one].partition("=")[0]], 4),
        }
        for one in order[:top]
    ]


def _shares_with_key(store: TileStore, examples: EntityExamples) -> dict[str, float]:
    """Returns for each key, of all OSM elements with the key, the share that also has the key of the task."""
    every: dict[str, int] = {}
    shared: dict[str, int] = {}
    for region in store.regions:
        tokens = RegionTokens(region)
        vocabulary = tokens.vocabulary
        with_key = tokens.objects_with(np.array([key == examples.spec.key for key in vocabulary.keys], np.bool_))
        objects = np.unique(tokens.objects)
        for total, chosen in ((every, objects), (shared, objects[with_key[objects]])):
            counts = np.bincount(vocabulary.key_ids, tokens.tags_of(chosen), len(vocabulary.key_names))
            for key, count in zip(vocabulary.key_names, counts.tolist(), strict=True):
                total[key] = total.get(key, 0) + int(count)
    return {key: shared[key] / count if count else 0.0 for key, count in every.items()}
