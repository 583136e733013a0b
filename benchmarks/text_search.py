"""Measures search by words: presets of the id-tagging-schema against keyword search and the base rate.

A query is the name of a preset, such as `Car Wash`, or one of its search terms. A hit is a tile with an OSM element
that has all tags of the preset. Presets are drawn by seed from those that occur in the tiles of the regions. The 200
presets that seed 0 draws were used to choose settings, and are not tested.

Texts of tags usually contain the names and terms of presets, because both come from the schema. So every search by the
text encoder is measured twice: `described` as users have it; and `held out`, where the encoder sees the tags of the
tested preset as plain `key=value`, so neither their name nor their terms. The methods:

- `tags`: `knn --text`: the words matched with the tags of the tile's entities.
- `tags without words`: the same, by text vectors alone.
- `ridge`: a linear map from text vectors to unit vectors of tiles in the search space, fitted on the tags of the
  searched tiles: the text vector of each distinct tag, and the mean of the unit vectors of the tiles with it.
- `prototypes`: the mean of those mean vectors, weighted by softmax of the similarity of their tags to the query.
- `keywords`: fraction of the words that a key or value contains, then the number of elements with most of them.
- `keywords in descriptions`: the same in the texts of tags, which contain the names.

    python benchmarks/text_search.py --workspace workspace --schema package --region harrisburg --region potsdam

`package` is an unpacked `npm pack @openstreetmap/id-tagging-schema@6.19.2`. Regions need `embed --model`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from numpy.typing import NDArray

from benchmarks.text_precision import K, interval, precision
from geojepa_cli import console, stages
from geojepa_cli.search.space import SearchSpace
from geojepa_cli.search.text import SOFTNESS, WORDS_WEIGHT, Phrase, split_phrases, words_of
from geojepa_cli.stages.features import FILE as TAGS_FILE
from geojepa_cli.stages.features import tag_features
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.store import csr
from geojepa_cli.store.embeddings import FILE as EMBEDDINGS_FILE
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.store.features import open_features
from geojepa_cli.store.store import TileStore
from geojepa_cli.tags.encoder import load_text_encoder
from geojepa_cli.tags.features import tag_texts
from geojepa_cli.workspace.workspace import Workspace

TUNED = 200
Floats = NDArray[np.float64]
Tags = tuple[tuple[str, str], ...]


class Preset(NamedTuple):
    name: str
    terms: tuple[str, ...]
    tags: Tags


class Tiles:
    """Embedded tiles of all regions, with distinct pairs of a tile and a tag, and how many elements have the tag."""

    def __init__(self, workspace: Workspace, regions: Sequence[str], model: str) -> None:
        self.tags: dict[tuple[str, str], int] = {}
        self.texts: dict[int, str] = {}
        table: dict[int, NDArray[np.float32]] = {}
        pairs, sets, vectors, self.count = [], [], [], 0
        for name in regions:
            processed = workspace.find("processed", name)
            path = processed.file(PROCESSED_FILE)
            store = TileStore.open([path], names=[name])
            (made,) = stages.embed(workspace, model, name)
            embedded = Embeddings(made.file(EMBEDDINGS_FILE))
            known = open_features([tag_features(workspace, processed).file(TAGS_FILE)], store).table.numpy()
            region = store.regions[0]
            ids = np.array(
                [self.tags.setdefault(tag, len(self.tags)) for tag in zip(region.keys, region.values, strict=True)]
            )
            texts = tag_texts(path)
            for row, number in enumerate(ids.tolist()):
                table.setdefault(number, known[row])
                self.texts.setdefault(number, texts[row].text)
            elements = region["piece/object"][embedded["entity/piece"].astype(np.int64)].astype(np.int64)
            tiles = embedded["entity/tile"].astype(np.int64) + self.count
            ends = region["object/tags"].astype(np.int64)
            tags = ids[region["tag/vocab"][csr.children(ends, elements)].astype(np.int64)]
            lengths = np.diff(ends)[elements]
            sets.append((tiles, csr.offsets(lengths), tags))
            pairs.append(np.stack([np.repeat(tiles, lengths), tags], 1))
            vectors.append(embedded)
            self.count += embedded.n_tiles
        found, self.elements = np.unique(np.concatenate(pairs), axis=0, return_counts=True)
        self.tile, self.tag = found.T
        self.first = np.flatnonzero(np.diff(self.tile, prepend=-1))
        self.table = np.stack([table[number] for number in range(len(table))]).astype(np.float64)
        self._sets = sets
        counts = np.bincount(self.tag, minlength=len(self.tags))
        self.certainty = counts / (counts + 2)
        self.embeddings = vectors
        self.words = [frozenset(words_of(f"{key} {value}")) for key, value in self.tags]
        self.described = [frozenset(words_of(self.texts[number])) for number in range(len(self.tags))]

    def hits(self, tags: Tags) -> NDArray[np.bool_]:
        """Returns the tiles with an element that has all given tags. bool [tiles]"""
        found = np.zeros(self.count, np.bool_)
        numbers = [self.tags.get(tag) for tag in tags]
        if None in numbers:
            return found
        for tiles, ends, of_entity in self._sets:
            owner = csr.parents(ends)
            counts = np.zeros(len(tiles), np.int64)
            for number in numbers:
                counts[owner[of_entity == number]] += 1
            found[tiles[counts == len(numbers)]] = True
        return found

    def soft_maximum(self, similarities: Floats) -> Floats:
        """Returns the score of each tile, as in `search.text`. float64 [tiles]"""
        values = similarities[self.tag]
        best = np.full(self.count, -1.0)
        best[self.tile[self.first]] = np.maximum.reduceat(values, self.first)
        total = np.bincount(
            self.tile, self.elements * np.exp((values - best[self.tile]) / SOFTNESS), minlength=self.count
        )
        return np.asarray(best + SOFTNESS * np.log(np.maximum(total, 1.0)))

    def shared_words(self, text: str, words: Sequence[frozenset[str]]) -> Floats:
        """Returns the fraction of the words of a text that each tag contains. float64 [V]"""
        wanted = Phrase(text, np.empty(0)).words
        found = np.zeros(len(words))
        for word in wanted:
            forms = {word, f"{word}s", word.removesuffix("s")}
            found += np.array([not forms.isdisjoint(one) for one in words])
        return found / max(1, len(wanted))

    def shared_in_both(self, text: str) -> Floats:
        """Returns the mean of the fractions of words in keys and values, and in descriptions. float64 [V]"""
        return (self.shared_words(text, self.words) + self.shared_words(text, self.described)) / 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints."""
    options = _options(arguments)
    tiles = Tiles(Workspace(options.workspace), options.region, options.model)
    presets = _present(options.schema, tiles)
    tuned = np.random.default_rng(0).choice(len(presets), min(TUNED, len(presets) // 2), replace=False)
    order = np.random.default_rng(options.seed).permutation(np.setdiff1d(np.arange(len(presets)), tuned)).tolist()
    tested = [presets[row] for row in order[: options.presets]]
    hits = {preset.name: tiles.hits(preset.tags) for preset in tested}
    encoder = load_text_encoder("minilm")
    maps = _maps(tiles)
    rng = np.random.default_rng(options.seed)
    queries = {
        "names": [(one, one.name) for one in tested],
        "terms": [(one, str(rng.choice(one.terms))) for one in tested if one.terms],
    }
    tags = sorted({tag for one in tested for tag in one.tags})
    plain = dict(zip(tags, encoder.encode([f"{key}={value}" for key, value in tags]).astype(np.float64), strict=True))
    result: dict[str, Any] = {name: getattr(options, name) for name in ("region", "model", "seed")}
    result |= {"tiles": tiles.count, "present": len(presets)}
    for kind, asked in queries.items():
        vectors = encoder.encode([text for _, text in asked]).astype(np.float64)
        found: dict[str, list[float]] = {}
        for (preset, text), vector in zip(asked, vectors, strict=True):
            truth = hits[preset.name]
            for method, scores in _scores(tiles, maps, preset, text, vector, plain).items():
                found.setdefault(method, []).append(precision(scores, truth, options.seed))
            found.setdefault("base rate", []).append(float(truth.mean()))
            found.setdefault("best possible", []).append(min(K, int(truth.sum())) / K)
        summary = {method: interval(values) for method, values in found.items()}
        gain = np.array(found["tags, held out"]) - np.array(found["keywords"])
        result[kind] = {"queries": len(asked), "precision_at_8": summary, "held out minus keywords": interval(gain)}
    result["pairs"] = _pairs(tiles, tested, hits, encoder, options)
    console.emit_json("text_search", None, result)
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _scores(
    tiles: Tiles, maps: dict[str, Any], preset: Preset, text: str, vector: Floats, plain: dict[tuple[str, str], Floats]
) -> dict[str, Floats]:
    """Returns the scores of all tiles for a query, by every method."""
    words, described = (tiles.shared_words(text, kind) for kind in (tiles.words, tiles.described))
    cosine = tiles.table @ vector
    held_out, shared, shared_held_out = cosine.copy(), (words + described) / 2, (words + described) / 2
    for row, tag in ((tiles.tags[tag], tag) for tag in preset.tags):
        held_out[row], shared_held_out[row] = plain[tag] @ vector, words[row]
    found = {}
    for name, one, both in (("described", cosine, shared), ("held out", held_out, shared_held_out)):
        found[f"tags, {name}"] = tiles.soft_maximum((one + WORDS_WEIGHT * both) / (1 + WORDS_WEIGHT))
        found[f"tags without words, {name}"] = tiles.soft_maximum(one)
    for form, (units, matrix, centroids) in maps.items():
        for name, one in (("described", cosine), ("held out", held_out)):
            weights = np.exp((one - one.max()) / 0.03) * tiles.certainty
            found[f"prototypes {form}, {name}"] = units @ (weights @ centroids)
        found[f"ridge {form}, described"] = units @ (vector @ matrix)
    found["keywords"] = tiles.soft_maximum(words)
    found["keywords in descriptions"] = tiles.soft_maximum(described)
    return found


def _maps(tiles: Tiles) -> dict[str, tuple[Floats, Floats, Floats]]:
    """Returns, for each search space: unit vectors of tiles, ridge map, and mean unit vector of each tag's tiles."""
    from scipy.sparse import csr_matrix

    raw = np.concatenate([np.asarray(one["tile/vector"]) for one in tiles.embeddings])
    counts = np.bincount(tiles.tag, minlength=len(tiles.tags))
    incidence = csr_matrix((np.ones(len(tiles.tag)), (tiles.tag, tiles.tile)), (len(tiles.tags), tiles.count))
    found = {}
    for form in ("centred", "whitened"):
        space = SearchSpace.fit([one.statistics("tile/vector") for one in tiles.embeddings], form)
        units = space.project(raw).astype(np.float64)
        centroids = (incidence @ units) / np.maximum(counts, 1)[:, None]
        weighted = tiles.table * counts[:, None]
        gram = weighted.T @ tiles.table
        gram += 0.03 * np.trace(gram) / len(gram) * np.eye(len(gram))
        found[form] = (units, np.linalg.solve(gram, weighted.T @ centroids), centroids)
    return found


def _pairs(tiles: Tiles, tested: Sequence[Preset], hits: dict[str, Any], encoder: Any, options: Any) -> dict[str, Any]:
    """Measures texts with two presets, such as `School next to a Motorway`: as phrases, and as a whole."""
    wanted = []
    for number, one in enumerate(tested):
        for other in tested[number + 1 :]:
            both, least = hits[one.name] & hits[other.name], min(hits[one.name].sum(), hits[other.name].sum())
            if not set(one.tags) & set(other.tags) and 4 <= both.sum() < least / 2:
                wanted.append((one, other))
    rng = np.random.default_rng(options.seed)
    chosen = [wanted[row] for row in rng.permutation(len(wanted))[: options.presets // 2]]
    values: dict[str, list[float]] = {
        name: [] for name in ("phrases", "whole", "keywords", "base rate", "best possible")
    }
    for one, other in chosen:
        text = f"{one.name} next to a {other.name}"
        parts = split_phrases(text)
        vectors = encoder.encode([text, *parts]).astype(np.float64)
        scores = [
            tiles.soft_maximum((tiles.table @ vector + WORDS_WEIGHT * tiles.shared_in_both(part)) / (1 + WORDS_WEIGHT))
            for part, vector in zip([text, *parts], vectors, strict=True)
        ]
        keywords = [tiles.soft_maximum(tiles.shared_words(part, tiles.words)) for part in parts]
        truth = hits[one.name] & hits[other.name]
        values["phrases"].append(precision(np.mean(scores[1:], axis=0), truth, options.seed))
        values["whole"].append(precision(scores[0], truth, options.seed))
        values["keywords"].append(precision(np.mean(keywords, axis=0), truth, options.seed))
        values["base rate"].append(float(truth.mean()))
        values["best possible"].append(min(K, int(truth.sum())) / K)
    return {"queries": len(chosen), "precision_at_8": {name: interval(one) for name, one in values.items()}}


def _present(schema: Path, tiles: Tiles) -> list[Preset]:
    """Returns the presets with distinct names that occur in at least one tile, ordered by id."""
    presets = json.loads((schema / "dist" / "presets.json").read_text())
    strings = json.loads((schema / "dist" / "translations" / "en.json").read_text())["en"]["presets"]["presets"]
    found: dict[str, Preset] = {}
    for name, preset in sorted(presets.items()):
        texts = strings.get(name, {})
        plain = preset["tags"] and "*" not in preset["tags"].values() and "locationSet" not in preset
        if not plain or not preset.get("searchable", True) or texts.get("name", "{").startswith("{"):
            continue
        tags = tuple(sorted(preset["tags"].items()))
        terms = tuple(term.strip() for term in texts.get("terms", "").split(",") if term.strip())
        if all(tag in tiles.tags for tag in tags) and tiles.hits(tags).any():
            found.setdefault(texts["name"].lower(), Preset(texts["name"], terms, tags))
    return list(found.values())


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--schema", type=Path, required=True, help="unpacked npm package of the schema")
    parser.add_argument("--region", action="append", required=True)
    parser.add_argument("--model", default="geojepa-small")
    parser.add_argument("--presets", type=int, default=200)
    parser.add_argument("--seed", type=int, default=15)
    parser.add_argument("--out", type=Path)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
