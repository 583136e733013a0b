"""Matches a query in words with the tags of tiles and OSM elements.

The words go through the text encoder that also encoded the tags of the regions, so that they need not be those of the
tags. ADR 31 compares this with a map from text vectors to vectors of tiles.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.store.csr import children, take_offsets
from geojepa_cli.tags.descriptions import describe, is_free

if TYPE_CHECKING:
    from geojepa_cli.search.neighbours import Level
    from geojepa_cli.store.columns import Array
    from geojepa_cli.store.entity_rows import EntityRows
    from geojepa_cli.store.reader import RegionStore

Scores = NDArray[np.float64]
# Weight of words that a tag or its description contains, compared with the cosine of the text vectors. Both numbers
# were chosen with other queries than those that benchmarks/text_search.py tests.
WORDS_WEIGHT = 0.2
# Least similarity of a tag that matches a phrase. Tags that mean a phrase have 0.4 to 0.8, others hardly ever as much.
MATCHING = 0.4
MOST_NAMED = 4  # tags that a note names for a phrase
SOFTNESS = 0.01  # temperature of the soft maximum over the entities of a tile

_JOINTS = re.compile(
    r"\s*[,;+&]\s*|\s+(?:and|with|near|be-?side|along|alongside|next to|close to|adjacent to|together with"
    r"|surrounded by|not far from|across from)\s+",
    re.IGNORECASE,
)
_ARTICLES = re.compile(r"^(?:a|an|the|some|any)\s+", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+")
_STOP_WORDS = frozenset(
    ("a", "an", "the", "of", "in", "on", "at", "by", "to", "for", "or", "and", "with", "some", "any")
)


class Encoder(Protocol):
    """Interface of a text encoder: `tags.encoder.TextEncoder` without its progress display."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Returns one unit vector per text. float32 [len(texts), E]"""
        ...


@dataclass(frozen=True)
class Phrase:
    """One thing that a text asks for.

    Attributes:
        text: words of the phrase, without a leading article.
        vector: unit vector of the text encoder. float64 [E]
    """

    text: str
    vector: NDArray[np.float64]

    @cached_property
    def words(self) -> list[str]:
        """Distinct words in lower case, without articles and prepositions."""
        found = dict.fromkeys(words_of(self.text))
        return [word for word in found if word not in _STOP_WORDS] or list(found)


def split_phrases(text: str) -> list[str]:
    """Splits a text at words such as `next to`, `near`, `with` and `and`, and at commas.

    For example, `school next to a motorway` becomes `school` and `motorway`.
    """
    parts = (_ARTICLES.sub("", part.strip()) for part in _JOINTS.split(text.strip()))
    return [part for part in parts if _WORD.search(part)]


def encode_text(text: str, encoder: Encoder) -> list[list[Phrase]]:
    """Encodes a text in one or two ways: as a whole and, if it has several phrases, phrase by phrase."""
    whole, parts = _ARTICLES.sub("", text.strip()), split_phrases(text)
    texts = [whole, *parts] if len(parts) > 1 else [whole]
    vectors = encoder.encode(texts).astype(np.float64)
    phrases = [Phrase(*pair) for pair in zip(texts, vectors, strict=True)]
    return [phrases[:1], phrases[1:]] if len(parts) > 1 else [phrases]


class TaggedRegion:
    """Tags of a region, their text vectors, and the entities that have them.

    Args:
        store: opened `processed.h5`.
        vectors: embeddings of the region. Their tiles and entities are scored.
        table: text vector of every distinct tag. float32 [V, E]
    """

    def __init__(self, store: RegionStore, vectors: EntityRows, table: Array) -> None:
        self._store, self._vectors, self._table = store, vectors, table

    @cached_property
    def _words(self) -> tuple[dict[str, list[int]], ...]:
        """The tags that contain a word: in key or value, and in the text that describes the tag."""
        store = self._store
        found: tuple[dict[str, list[int]], ...] = ({}, {})
        tags = zip(store.keys, store.values, store["vocab/count"].tolist(), strict=True)
        for row, (key, value, count) in enumerate(tags):
            for kind, text in zip(found, (f"{key} {value}", describe(key, value, count).text), strict=True):
                for word in set(words_of(text)):
                    kind.setdefault(word, []).append(row)
        return found

    def similarities(self, phrase: Phrase) -> Scores:
        """Returns the similarity of each distinct tag to a phrase, at most 1. float64 [V]

        It is (cos + 0.2 · f) / 1.2, with the cosine of the text vectors. f is the mean of two fractions: of the words
        of the phrase that occur in the tag's key or value, and in its description. An `s` at the end of a word does not
        matter.
        """
        shared = np.zeros(len(self._table))
        for word in phrase.words:
            for kind in self._words:
                rows = np.unique([row for form in _forms(word) for row in kind.get(form, [])]).astype(np.int64)
                shared[rows] += 0.5 / len(phrase.words)
        cosine = self._table.astype(np.float64) @ phrase.vector
        return np.asarray((cosine + WORDS_WEIGHT * shared) / (1.0 + WORDS_WEIGHT))

    def scores(self, similarities: Scores, level: Level) -> Scores:
        """Returns the score of each tile or entity: how well it matches a phrase.

        The score of an entity is the largest similarity of its tags. The score of a tile with entity scores s is their
        soft maximum, T · log Σ exp(s / T): more matching entities are better, but no number of entities that match less
        well outweighs one that matches. Entities without a tag and tiles without an entity have the score −1.

        Args:
            similarities: similarity of each distinct tag. float64 [V]
            level: `tile` or `entity`.

        Returns:
            float64 [tiles] or [entities], in the order of the embeddings.
        """
        store, vectors = self._store, self._vectors
        ends = store["object/tags"]
        of_object = _largest(similarities[store["tag/vocab"]], take_offsets(ends, np.arange(len(ends))))
        of_entity = of_object[store["piece/object"][vectors["entity/piece"].astype(np.int64)].astype(np.int64)]
        if level == "entity":
            return of_entity
        ends = vectors["entity/cu_seqlens"].astype(np.int64)
        best = _largest(of_entity, ends)
        tile = vectors["entity/tile"].astype(np.int64)
        total = np.bincount(tile, np.exp((of_entity - best[tile]) / SOFTNESS), minlength=vectors.n_tiles)
        return np.asarray(best + SOFTNESS * np.log(np.maximum(total, 1.0)))

    def matching(self, phrase: Phrase, similarities: Scores) -> NDArray[np.bool_]:
        """Returns which distinct tags match a phrase. bool [V]

        They have a similarity of at least `MATCHING`, or their key and value have all its words. The second rule is for
        rare tags, whose value the encoder does not see. Names and other free texts match by similarity alone.
        """
        store, found = self._store, similarities >= MATCHING
        rows = [set().union(*(self._words[0].get(form, ()) for form in _forms(word))) for word in phrase.words]
        for row in set.intersection(*rows) if rows else ():
            found[row] |= not is_free(store.keys[row], store.values[row])
        return found

    def best_tag(self, similarities: Scores, level: Level, row: int) -> str:
        """Returns the tag `key=value` of a tile or entity that is most similar; empty if none is above 0.

        Args:
            similarities: similarity of each distinct tag, 0 for tags that must not be returned. float64 [V]
            level: `tile` or `entity`.
            row: row of the tile or entity in the embeddings.
        """
        store, vectors = self._store, self._vectors
        rows = slice(row, row + 1)
        if level == "tile":
            rows = slice(*(int(end) for end in vectors["entity/cu_seqlens"][row : row + 2]))
        elements = np.unique(store["piece/object"][vectors["entity/piece"][rows].astype(np.int64)]).astype(np.int64)
        tags = store["tag/vocab"][children(store["object/tags"], elements)].astype(np.int64)
        if not len(tags):
            return ""
        best = int(tags[np.argmax(similarities[tags])])
        return self.tag(best) if similarities[best] > 0 else ""

    def tag(self, row: int) -> str:
        """Returns the tag `key=value` in a row of the vocabulary."""
        return f"{self._store.keys[row]}={self._store.values[row]}"


@dataclass(frozen=True)
class Match:
    """A text, compared with the tags of regions.

    Attributes:
        regions: the regions.
        level: `tile` or `entity`.
        phrases: phrases as which the text was read.
        similarities: similarity of each distinct tag, for each phrase and each region. float64 [V]
    """

    regions: Sequence[TaggedRegion]
    level: Level
    phrases: Sequence[Phrase]
    similarities: Sequence[Sequence[Scores]]

    def scores(self) -> list[Scores]:
        """Returns the score of each tile or entity, for each region: the mean of the scores of the phrases. [n]"""
        return self._scores

    @cached_property
    def _scores(self) -> list[Scores]:
        return [
            np.asarray(np.mean([region.scores(one[index], self.level) for one in self.similarities], axis=0))
            for index, region in enumerate(self.regions)
        ]

    def tags(self, region: int, row: int) -> list[str]:
        """Returns the matching tags of a tile or entity, the best for each phrase, without repetition."""
        found = (self.regions[region].best_tag(one[region], self.level, row) for one in self._matching)
        return list(dict.fromkeys(filter(None, found)))

    @cached_property
    def _matching(self) -> list[list[Scores]]:
        """The similarities of tags that match, and 0 for others."""
        return [
            [
                np.where(region.matching(phrase, values), values, 0.0)
                for region, values in zip(self.regions, one, strict=True)
            ]
            for phrase, one in zip(self.phrases, self.similarities, strict=True)
        ]

    @property
    def note(self) -> str:
        """The text as it was understood: its phrases, each with the tags that match it best."""
        parts = []
        for phrase, by_region in zip(self.phrases, self._matching, strict=True):
            found: dict[str, float] = {}
            for region, values in zip(self.regions, by_region, strict=True):
                rows = np.flatnonzero(values > 0)
                for row in rows[np.argsort(-values[rows], kind="stable")][:MOST_NAMED].tolist():
                    found[region.tag(row)] = float(values[row])
            named = sorted(found, key=lambda tag: (-found[tag], tag))[:MOST_NAMED]
            parts.append(f"`{phrase.text}`: {', '.join(named) or 'no tag matches'}")
        return f"read as {' + '.join(f'`{one.text}`' for one in self.phrases)}; {'; '.join(parts)}"


def match(ways: Sequence[Sequence[Phrase]], regions: Sequence[TaggedRegion], level: Level) -> Match:
    """Compares a text with the tags of regions.

    A text that can be read in two ways is read in the way that the tags of the regions match better, by the mean of the
    largest similarities of the phrases. So `bed and breakfast` stays one phrase.

    Args:
        ways: the text as phrases, as `encode_text` returns it.
        regions: regions to search.
        level: `tile` or `entity`.
    """
    compared = [[[region.similarities(phrase) for region in regions] for phrase in phrases] for phrases in ways]
    fits = [np.mean([_best(by_region) for by_region in way]) for way in compared]
    chosen = int(np.argmax(fits))
    return Match(regions, level, ways[chosen], compared[chosen])


def _best(by_region: Sequence[Scores]) -> float:
    return max((float(one.max()) for one in by_region if len(one)), default=-1.0)


def _largest(values: Scores, ends: NDArray[np.int64]) -> Scores:
    """Returns the largest value of each CSR row; −1 for an empty row. float64 [len(ends) − 1]"""
    found = np.full(len(ends) - 1, -1.0)
    some = np.flatnonzero(ends[1:] > ends[:-1])
    if len(some):
        found[some] = np.maximum.reduceat(values, ends[:-1][some])
    return found


def _forms(word: str) -> set[str]:
    return {word, f"{word}s", word.removesuffix("s")}


def words_of(text: str) -> list[str]:
    """Returns the words of a text in lower case."""
    return _WORD.findall(text.lower())
