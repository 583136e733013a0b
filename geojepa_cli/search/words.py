"""Search of tiles by words: words are compared with the tags of entities and with the names that iD has for them."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.search.neighbours import SearchRegion
from geojepa_cli.store import csr
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.tags.descriptions import is_free, load_descriptions

Scores = NDArray[np.float32]
MAX_WORDS = 12
MAX_SHOWN = 5
NAME_WEIGHT = 0.3  # a street is often named after a school or an airport that is not there
_WORD = re.compile(r"[\w:-]+=[\w:;*.-]+|[^\W_]+(?:'[^\W_]+)?")
_STOP_WORDS = frozenset(
    (
        "a",
        "an",
        "and",
        "are",
        "at",
        "by",
        "for",
        "from",
        "in",
        "is",
        "near",
        "next",
        "of",
        "on",
        "or",
        "the",
        "to",
        "with",
    )
)
_LONGEST_VALUE = 80


class TextScores(NamedTuple):
    """Result of a search by text.

    Attributes:
        tiles: score of each tile, 0 to 1; float32 [N].
        note: one sentence for the user: which tags the words stand for.
    """

    tiles: Scores
    note: str


class _Matches(NamedTuple):
    """Tags that a word of the query stands for.

    Attributes:
        word: the word, or `key=value`.
        tags: for each region, True for the tags in its vocabulary that match; bool [vocabulary].
        shown: the most frequent of the tags.
        distinct: number of distinct tags that match.
        by_name: True if the word matches names only.
    """

    word: str
    tags: list[NDArray[np.bool_]]
    shown: list[str]
    distinct: int
    by_name: bool


class _Index(NamedTuple):
    """Tags in the vocabulary of a region by their words: dicts from a word to rows of the vocabulary.

    Attributes:
        classes: words of tags whose value is a class, such as `highway=residential`, and of their descriptions.
        names: words of values that are names or other free text.
    """

    classes: dict[str, list[int]]
    names: dict[str, list[int]]


class WordSearch:
    """Scores tiles and entities by the words of a query.

    A word matches a tag if it is a word of the tag, or of the name and search terms that the editor iD has for it.
    `key=value` matches this tag only, and `key=*` all tags with this key. A word that matches no tag in this way is
    searched in names, such as `name=Main Street`. Upper and lower case are the same, as are singular and plural with
    `s`.

    With n(w) entities in a tile that have a tag for the word w, the score of the tile is

        Σ idf(w) · n(w) / (n(w) + 1)  /  Σ idf(w),    idf(w) = log(1 + tiles / tiles with the word)

    so rare words count more, and the second entity of a kind counts less than the first one. The weight of a word that
    matches names only is multiplied by `NAME_WEIGHT`. A word that matches nothing is left out.

    Args:
        regions: regions to search. Their tags are read at the first search.
    """

    def __init__(self, regions: Sequence[SearchRegion]) -> None:
        self._regions = list(regions)
        self._indices: list[_Index] = []
        self._lock = threading.Lock()

    def search_text(self, query: str) -> TextScores:
        """Returns the scores of all tiles for a query in words. The tiles are those of the regions, in this order."""
        matches = [self._match(word) for word in query_words(query)]
        total, weights = np.zeros(self._n_tiles, np.float64), 0.0
        for match in (one for one in matches if one.distinct):
            counts = np.concatenate([self._tile_counts(i, match.tags[i]) for i in range(len(self._regions))])
            weight = math.log(1 + len(counts) / max(1, int((counts > 0).sum())))
            weight *= NAME_WEIGHT if match.by_name else 1.0
            total += weight * counts / (counts + 1.0)
            weights += weight
        scores = (total / weights if weights else total).astype(np.float32)
        return TextScores(scores, _note(matches))

    def score_entities(self, query: str, region: int, rows: NDArray[np.int64]) -> Scores:
        """Returns the share of the query's words that match the tags of each given entity, 0 to 1; float32 [rows].

        Args:
            query: the words.
            region: index of the region.
            rows: rows of the entities in the embeddings of the region.
        """
        matches = [self._match(word) for word in query_words(query)]
        found = np.zeros(len(rows), np.float32)
        one = self._regions[region]
        objects = one.store["piece/object"][one.vectors["entity/piece"][rows]]
        for match in matches:
            found += _objects_with(one.store, match.tags[region])[objects]
        return np.asarray(found / max(1, len(matches)), np.float32)

    @property
    def _n_tiles(self) -> int:
        return sum(one.vectors.n_tiles for one in self._regions)

    def _index(self) -> list[_Index]:
        with self._lock:
            if not self._indices:
                self._indices = [_index_words(one.store) for one in self._regions]
            return self._indices

    def _match(self, word: str) -> _Matches:
        tags, counts = [], dict[str, int]()
        indices = self._index()
        classes = any(word in index.classes for index in indices)
        for one, index in zip(self._regions, indices, strict=True):
            rows = np.array((index.classes if classes else index.names).get(word, ()), np.int64)
            mask = np.zeros(one.store.n_vocab, np.bool_)
            mask[rows] = True
            tags.append(mask)
            for row, count in zip(rows.tolist(), one.store["vocab/count"][rows].tolist(), strict=True):
                name = f"{one.store.keys[row]}={one.store.values[row]}"
                counts[name] = counts.get(name, 0) + int(count)
        frequent = sorted(counts, key=lambda name: (-counts[name], name))
        return _Matches(word, tags, frequent[:MAX_SHOWN], len(counts), not classes)

    def _tile_counts(self, region: int, tags: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Returns the number of entities in each tile that have one of the tags: int64 [n]."""
        one = self._regions[region]
        objects = one.store["piece/object"][one.vectors["entity/piece"].astype(np.int64)]
        ends = csr.offsets(_objects_with(one.store, tags)[objects])
        return np.asarray(np.diff(ends[one.vectors["entity/cu_seqlens"].astype(np.int64)]))


def query_words(query: str) -> list[str]:
    """Returns the distinct words of a query in lower case, without words such as `the`, at most `MAX_WORDS`."""
    words = dict.fromkeys(_normal(word) for word in _WORD.findall(query.lower()))
    return [word for word in words if word not in _STOP_WORDS][:MAX_WORDS]


def _normal(word: str) -> str:
    return word if "=" in word or len(word) < 4 or word.endswith("ss") or not word.endswith("s") else word[:-1]


def _index_words(store: RegionStore) -> _Index:
    known = load_descriptions()
    index = _Index({}, {})
    for row, (key, value) in enumerate(zip(store.keys, store.values, strict=True)):
        tag = f"{key}={value}".lower()
        for word in (tag, f"{key}=*".lower()):
            index.classes.setdefault(word, []).append(row)
        if value == "no" or len(value) > _LONGEST_VALUE:
            continue
        free = is_free(key, value)
        text = value if free else f"{key} {value} {known.tags.get(tag, '')}"
        words = {_normal(word) for word in _WORD.findall(text.replace("_", " ").replace(":", " ").lower())}
        for word in words - _STOP_WORDS:
            (index.names if free else index.classes).setdefault(word, []).append(row)
    return index


def _objects_with(store: RegionStore, tags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Returns True for each OSM element that has one of the tags: bool [objects]."""
    ends = csr.offsets(tags[store["tag/vocab"]])
    return np.asarray(np.diff(ends[store["object/tags"].astype(np.int64)]) > 0)


def _note(matches: Sequence[_Matches]) -> str:
    """Returns a sentence that lists the tags for each word of a query."""
    if not matches:
        return "The text has no word to search for."
    parts = []
    for match in matches:
        if not match.distinct:
            parts.append(f"“{match.word}”: no tag")
            continue
        more = f" and {match.distinct - len(match.shown)} more" if match.distinct > len(match.shown) else ""
        parts.append(f"“{match.word}”: {', '.join(match.shown)}{more}")
    return "; ".join(parts) + "."
