"""Map features: the definitions of the package, tiles that have a feature, and what a model sees when it is hidden."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
from raw_tokens import raw_tiles
from sklearn.metrics import mutual_info_score
from synthetic_store import write_synthetic_processed

from geojepa_cli.errors import NotFoundError, UsageError
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View
from geojepa_cli.tasks.retrieval import hidden_view, tiles_with
from geojepa_cli.tasks.retrieval_spec import RetrievalSpec, find_feature, load_feature, packed_features
from geojepa_cli.tasks.rules import RuleVocabulary
from geojepa_cli.tasks.tokens import RegionTokens
from geojepa_cli.tasks.visible_tags import VisibleTags

ROOT = Path(__file__).resolve().parents[2]
THESIS = {"airfield", "airport", "canal", "motorway_forest", "motorway_fields"}
SPEC = RetrievalSpec.model_validate(
    {
        "name": "church",
        "title": "church",
        "has": [{"tags": ["building=church"]}],
        "hide": ["bridge=viaduct"],
        "hide_tags": ["maxspeed=50"],
    }
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic_processed(tmp_path_factory.mktemp("features") / "processed.h5", seed=8, n_tiles=120)


@pytest.fixture(scope="module")
def store(path: Path) -> TileStore:
    return TileStore.open([path], names=["city"])


def shown(store: TileStore, view: View) -> dict[int, dict[int, set[tuple[str, str]]]]:
    """Tags of every token that a model would see, by tile and piece."""
    batch = store.read(view, view.tiles)
    ends = batch.tag_offsets.tolist()
    tags = [store.tag(row) for row in batch.tag_ids.tolist()]
    found: dict[int, dict[int, set[tuple[str, str]]]] = {tile: {} for tile in view.tiles.tolist()}
    for token, piece in enumerate(batch.piece_rows.tolist()):
        found[int(store.piece_tiles([piece])[0])][piece] = set(tags[ends[token] : ends[token + 1]])
    return found


def is_hidden(tags: dict[str, str]) -> bool:
    """Returns True for an element that `SPEC` hides completely."""
    bare = tags == {"maxspeed": "50"}
    return bare or tags.get("building") == "church" or tags.get("bridge") == "viaduct"


def test_the_package_has_the_five_features_of_the_thesis_and_more() -> None:
    features = packed_features()
    assert set(features) >= THESIS and len(features) >= 25
    titles = set()
    for name, path in features.items():
        spec = find_feature(name)
        assert spec.name == name == path.stem and spec == load_feature(path)
        task = spec.as_task()
        assert set(spec.defining) <= set(task.mask.entities), name
        titles.add(spec.title)
    assert len(titles) == len(features)


@pytest.mark.parametrize(
    ("feature", "gone", "stays"),
    [
        ("airfield", ["aeroway=runway", "aeroway=hangar", "building=hangar", "icao=KMDT"], ["landuse=grass"]),
        ("canal", ["waterway=canal", "waterway=lock_gate", "canal=lock"], ["waterway=river", "highway=path"]),
        ("motorway_forest", ["highway=motorway_link", "natural=wood", "landcover=trees"], ["highway=primary"]),
        ("school", ["building=school", "amenity=school"], ["amenity=library", "leisure=pitch"]),
        ("cemetery", ["amenity=grave_yard", "cemetery=grave", "historic=tomb"], ["amenity=place_of_worship"]),
        ("marina", ["mooring=yes", "seamark:type=harbour"], ["natural=coastline"]),
    ],
)
def test_tags_that_name_the_feature_are_hidden_whole(feature: str, gone: list[str], stays: list[str]) -> None:
    pairs = [text.split("=", 1) for text in (*gone, *stays)]
    words = RuleVocabulary([key for key, _ in pairs], [value for _, value in pairs])
    assert words.matches(find_feature(feature).as_task().mask.entities).tolist() == [True] * len(gone) + [False] * len(
        stays
    )


def test_tiles_with_a_feature_equal_a_loop_over_all_pieces(path: Path, store: TileStore) -> None:
    tokens = RegionTokens(store.regions[0])
    two = RetrievalSpec.model_validate(
        {"name": "two", "title": "", "has": [{"tags": ["highway=primary"]}, {"tags": ["landuse"], "share": 0.02}]}
    )
    with h5py.File(path) as file:
        column = {name: file[name][...] for name in ("tile/pieces", "piece/object", "piece/area_m2", "object/token")}
        size = file["tile/east_m"][...].astype(float) * file["tile/north_m"][...]
        tags, rows = file["object/tags"][...], file["tag/vocab"][...]
    church, both = [], []
    for tile in range(store.n_tiles):
        has_church = has_road = False
        covered = 0.0
        for piece in range(*column["tile/pieces"][tile : tile + 2].tolist()):
            element = int(column["piece/object"][piece])
            if column["object/token"][element]:
                continue
            own = dict(store.tag(int(row)) for row in rows[tags[element] : tags[element + 1]])
            has_church |= own.get("building") == "church"
            has_road |= own.get("highway") == "primary"
            covered += float(column["piece/area_m2"][piece]) if "landuse" in own else 0.0
        church.append(has_church)
        both.append(has_road and covered >= 0.02 * size[tile])
    assert tiles_with(tokens, SPEC).tolist() == church and 0 < sum(church) < len(church)
    assert tiles_with(tokens, two).tolist() == both and 0 < sum(both) < len(both)


def test_a_hidden_feature_leaves_no_defining_tag_and_changes_the_listed_tiles_only(
    store: TileStore, path: Path
) -> None:
    plain = View.default(store)
    hidden = hidden_view(RegionTokens(store.regions[0]), SPEC, plain)
    assert hidden.view.tiles.tolist() == plain.tiles.tolist()
    before, after = shown(store, plain), shown(store, hidden.view)
    raw = {token.piece: token for _, tokens in raw_tiles(path) for token in tokens}
    for tile in plain.tiles.tolist():
        assert (before[tile] != after[tile]) == (tile in hidden.changed)
        for piece, tags in before[tile].items():
            spans = raw[piece].kind == 3 and any(is_hidden(member) for member in raw[piece].members)
            left = None if spans or is_hidden(dict(tags)) else tags - {("maxspeed", "50")}
            assert after[tile].get(piece) == left
    assert 0 < len(hidden.changed) < len(plain.tiles)


def test_the_strongest_visible_tags_are_those_of_the_batches(store: TileStore) -> None:
    tokens, plain = RegionTokens(store.regions[0]), View.default(store)
    has = tiles_with(tokens, SPEC)[plain.tiles]
    view = hidden_view(tokens, SPEC, plain).view
    found = VisibleTags([tokens], [plain]).strongest([view], has, top=1000)
    seen: Counter[str] = Counter()
    tiles: dict[str, list[int]] = {}
    for tile, pieces in shown(store, view).items():
        names = {text for tags in pieces.values() for key, value in tags for text in (f"{key}={value}", f"{key}=*")}
        seen.update(names)
        for name in names:
            tiles.setdefault(name, []).append(tile)
    assert {one["tag"] for one in found} <= {name for name, count in seen.items() if count >= 5}
    assert len(found) > 10
    for one in found:
        present = np.isin(plain.tiles, tiles[one["tag"]])
        assert (one["tiles"], one["with_feature"]) == (present.sum(), (present & has).sum())
        assert one["bits"] == pytest.approx(mutual_info_score(present, has) / np.log(2), abs=1e-6)
    assert [one["bits"] for one in found] == sorted((one["bits"] for one in found), reverse=True)
    assert VisibleTags([tokens], [plain]).strongest([view], np.zeros(len(has), bool)) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "is not the definition of a map feature: expected keys such as `has`"),
        ("{name: a, title: a}", "lacks the key `has`"),
        ("{name: a, title: a, has: [{tags: [x]}], hid: [y]}", "unknown key `hid`; did you mean `hide`"),
        ("{name: a, title: a, has: [{tags: []}]}", "`has.0.tags`: expected at least 1 entries"),
        ("{name: a, title: a, has: [{tags: [x], share: 2}]}", "`has.0.share`: expected at most 1"),
        ("{name: A b, title: a, has: [{tags: [x]}]}", "`name`: expected lower-case letters"),
    ],
)
def test_a_wrong_definition_is_explained(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "wrong.yaml").write_text(text)
    with pytest.raises(UsageError) as caught:
        find_feature(str(tmp_path / "wrong.yaml"))
    assert message in caught.value.message


def test_the_example_of_tasks_md_is_a_definition(tmp_path: Path) -> None:
    _, text, _ = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/tasks.md").read_text(), flags=re.S)
    (tmp_path / "park_lake.yaml").write_text(text)
    spec = find_feature(str(tmp_path / "park_lake.yaml"))
    assert [part.share for part in spec.has] == [None, 0.05] and spec.hide and spec.hide_tags


def test_an_unknown_feature_suggests_the_most_similar_name() -> None:
    with pytest.raises(NotFoundError, match="cemetery"):
        find_feature("cemetary")
    with pytest.raises(NotFoundError, match=r"missing\.yaml"):
        find_feature("missing.yaml")
