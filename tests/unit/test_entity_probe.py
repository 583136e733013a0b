"""Entity probes on planted stores: what decides the class is found, and hidden tags never reach a vector."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from planted_entities import BUILDINGS, CLASSES, TASK, Decides, write_planted
from synthetic_store import write_synthetic_features, write_synthetic_geometry, write_synthetic_processed

from geojepa_cli.baselines.tag_counts import TagCounts
from geojepa_cli.baselines.tagpool import TagPool
from geojepa_cli.config.limits import DEFAULT_LIMITS
from geojepa_cli.config.modality import Modality
from geojepa_cli.config.schema import ModelConfig
from geojepa_cli.errors import DataError
from geojepa_cli.evaluate.entity_fitting import DUMMY, EntityVectors, Row, fit_entity_heads
from geojepa_cli.evaluate.entity_parts import CROSS_VALIDATION, frequent_classes, make_parts
from geojepa_cli.evaluate.entity_probe import EntityResult, run_entity_probe
from geojepa_cli.evaluate.entity_tags import informative_tags, visible_tags
from geojepa_cli.evaluate.entity_vectors import COUNTS, NEIGHBOURS, SHAPE, model_vectors, reference_vectors
from geojepa_cli.models.base import Embedder, FrozenInputs, TagList
from geojepa_cli.models.jepa.build import build_encoder
from geojepa_cli.models.jepa.embedder import JepaEmbedder
from geojepa_cli.store.features import open_features
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View
from geojepa_cli.tasks.entity_examples import EntityExamples, find_examples, hiding_view
from geojepa_cli.tasks.entity_spec import EntitySpec, load_entity_task

CPU = torch.device("cpu")
SMALL = ModelConfig(tag_dim=16, embed_dim=24, depth=2, num_heads=2, predictor_dim=16, predictor_depth=2)
GT = SMALL.model_copy(update={"modalities": (Modality.TAGS, Modality.GEOMETRY), "geometry_dim": 6})


def quiet(done: int) -> None:
    """Shows no progress."""


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> EntitySpec:
    path = tmp_path_factory.mktemp("task") / "planted.yaml"
    path.write_text(TASK)
    return load_entity_task(path)


def planted(folder: Path, decides: Decides, **changes: object) -> tuple[TileStore, torch.Tensor]:
    """A planted store with geometry vectors, and its tag embeddings."""
    path = write_planted(folder / "planted@0" / "processed.h5", decides, **changes)  # type: ignore[arg-type]
    store = TileStore.open([path])
    geometry = write_synthetic_geometry(folder / "geometry.h5", store.n_pieces)
    store = TileStore.open([path], geometry=[geometry])
    tags = write_synthetic_features(folder / "tags.h5", store.n_vocab, 7, width=16)
    return store, open_features([tags], store).table


def jepa(table: torch.Tensor, store: TileStore) -> JepaEmbedder:
    """A model that reads tags and geometry, with random weights large enough that every input shows."""
    torch.manual_seed(0)
    encoder = build_encoder(GT)
    rng = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=rng))
    return JepaEmbedder(encoder.eval(), frozenset(GT.modalities), FrozenInputs(table, store.geometry_kind))


def probe(folder: Path, decides: Decides, spec: EntitySpec, everywhere: bool = True) -> EntityResult:
    store, table = planted(folder, decides, groups=20)
    examples = find_examples(store, spec, 1000)
    view = hiding_view(store, examples, everywhere, DEFAULT_LIMITS)
    pool = model_vectors(store, view, examples.pieces, TagPool(FrozenInputs(table)), CPU, quiet, (0.0, 0.5))
    simple = references(store, view, examples.pieces, table)
    boosted = {COUNTS: simple.pop(COUNTS)}
    vectors = EntityVectors(
        {"tagpool": pool.pop(0.0), **simple}, boosted, {"tagpool": pool, SHAPE: {1.0: simple[NEIGHBOURS]}}
    )
    bare = visible_tags(store, view, examples.pieces).bare
    assert bare.all()  # a building has no tag but the hidden one
    parts = [make_parts(examples.groups, None, seed) for seed in (0, 1)]
    return run_entity_probe(vectors, examples.labels, examples.classes, examples.groups, bare, parts, CROSS_VALIDATION)


def references(store: TileStore, view: View, pieces: np.ndarray, table: torch.Tensor) -> dict[str, np.ndarray]:
    counter = TagCounts(FrozenInputs(table, tags=TagList(store.keys, store.values)))
    return reference_vectors(store, view, pieces, table, counter, quiet)


@pytest.mark.parametrize(
    ("decides", "finders"), [("shape", {SHAPE}), ("neighbours", {NEIGHBOURS, COUNTS}), ("nothing", set[str]())]
)
def test_a_head_finds_the_class_only_where_its_vector_shows_it(
    tmp_path: Path, spec: EntitySpec, decides: Decides, finders: set[str]
) -> None:
    result = probe(tmp_path, decides, spec)
    balanced = {score.model: score.balanced.value for score in result.scores}
    assert 0.2 < balanced[DUMMY] < 0.4
    for name, value in balanced.items():
        if name in finders or (finders and name.startswith("tags, ")):
            assert value > 0.93, (name, value)
        else:
            assert value < 0.42, (name, value)
    for score in result.scores:
        assert score.bare_accuracy == pytest.approx(score.accuracy.value)
        assert score.balanced.low <= score.balanced.value <= score.balanced.high
        assert score.average_precision.low <= score.average_precision.value <= score.average_precision.high
        assert score.spread is not None and score.spread["balanced"] < 0.1
    found = result.differences["tagpool", SHAPE]
    assert (found.balanced.high < -0.4) == (found.average_precision.high < -0.4) == (decides == "shape")
    same, other = result.curve["tagpool"], result.curve[SHAPE]
    assert [point.alpha for point in same] == [0.0, 0.5] and same[0].score == same[1].score  # alone, the tags are equal
    scores = {score.model: score for score in result.scores}
    assert other[1].score.balanced == scores[NEIGHBOURS].balanced  # its vectors are those of the neighbours
    assert other[1].difference.balanced.value == pytest.approx(-result.differences[SHAPE, NEIGHBOURS].balanced.value)


def other_value(number: int, name: str) -> str:
    """The next class, so that every building has another value."""
    return CLASSES[(CLASSES.index(name) + 1) % len(CLASSES)]


@pytest.mark.parametrize("everywhere", [True, False])
def test_a_hidden_tag_never_reaches_a_vector(tmp_path: Path, spec: EntitySpec, everywhere: bool) -> None:
    tables: list[dict[str, np.ndarray]] = []
    chosen: EntityExamples | None = None
    for place, changed in enumerate((False, True)):
        folder = tmp_path / str(place)

        def value_of(number: int, name: str, changed: bool = changed) -> str:
            hidden = everywhere or number % (BUILDINGS + 4) == 2  # of the neighbours' tags, none changes
            return other_value(number, name) if changed and hidden else name

        store, table = planted(folder, "nothing", value_of=value_of)
        found = find_examples(store, spec, 1000)
        if not everywhere:
            found = only_third_of_each_tile(store, found)
        chosen = chosen or found
        assert np.array_equal(found.pieces, chosen.pieces)
        names = [[one.classes[label] for label in one.labels] for one in (found, chosen)]
        assert not changed or all(a != b for a, b in zip(*names, strict=True))
        view = hiding_view(store, found, everywhere, DEFAULT_LIMITS)
        models: list[Embedder] = [TagPool(FrozenInputs(table)), jepa(table, store)]
        vectors = {
            f"{one.name} {alpha}": x
            for one in models
            for alpha, x in model_vectors(store, view, found.pieces, one, CPU, quiet, (0.0, 1.0)).items()
        }
        tables.append(vectors | references(store, view, found.pieces, table))
    for name in tables[0]:
        assert tables[0][name].tobytes() == tables[1][name].tobytes(), name
    assert tables[0]["jepa 0.0"].std(axis=0).min() > 0 and tables[0]["jepa 1.0"].std(axis=0).max() > 0


def only_third_of_each_tile(store: TileStore, examples: EntityExamples) -> EntityExamples:
    """The third building of every tile."""
    rows = np.flatnonzero(np.arange(len(examples.pieces)) % BUILDINGS == 2)
    names = ("pieces", "labels", "tiles", "groups", "regions")
    return replace(examples, **{name: getattr(examples, name)[rows] for name in names})


def test_tags_are_hidden_everywhere_or_only_on_the_examples(tmp_path: Path, spec: EntitySpec) -> None:
    store, _ = planted(tmp_path, "nothing")
    examples = only_third_of_each_tile(store, find_examples(store, spec, 1000))
    keys = np.array(store.keys)
    for everywhere in (True, False):
        view = hiding_view(store, examples, everywhere, DEFAULT_LIMITS)
        batch = store.read(view, view.tiles)
        assert batch.n_tokens == store.read(replace(view, dropped_tags=np.empty(0, np.int64)), view.tiles).n_tokens
        owner = np.repeat(np.arange(batch.n_tokens), batch.tag_offsets.diff().numpy())
        built = set(batch.piece_rows.numpy()[owner[keys[batch.tag_ids.numpy()] == "building"]].tolist())
        assert not built & set(examples.pieces.tolist())
        assert len(built) == (0 if everywhere else store.n_tiles * (BUILDINGS - 1))


def test_every_osm_element_is_one_example_also_in_two_regions(tmp_path: Path, spec: EntitySpec) -> None:
    paths = [
        write_planted(tmp_path / "a@0" / "processed.h5", "nothing", 1, groups=5),
        write_planted(tmp_path / "b@0" / "processed.h5", "nothing", 2, groups=5, corner=(4600, 6400), first_id=41),
    ]
    store = TileStore.open(paths)
    examples = find_examples(store, spec, 1000)
    every = 2 * 5 * BUILDINGS
    assert len(examples.pieces) == 2 * every - examples.counts["elements in an earlier region"]
    # the ids 41 to 100 are in both regions; the six first elements of each ten are buildings
    assert examples.counts["elements in an earlier region"] == 36
    assert (examples.regions == 0).sum() == every
    few = find_examples(store, spec, 7)
    assert np.bincount(few.labels).tolist() == [7, 7, 7] and set(few.pieces) < set(examples.pieces)
    assert few.sizes.sum() == len(examples.pieces)
    some = find_examples(store, spec, 1000, share=0.3)
    assert 0.15 * len(examples.pieces) < len(some.pieces) < 0.45 * len(examples.pieces)
    assert np.array_equal(find_examples(store, spec, 7).pieces, few.pieces)
    assert not np.array_equal(find_examples(store, spec, 7, seed=1).pieces, few.pieces)


def test_parts_share_no_group_and_classes_are_counted_on_training_parts_only() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 30, 400)
    for test_region in (None, groups >= 20):
        parts = make_parts(groups, test_region, 0)
        tested = np.concatenate([part.test for part in parts])
        assert sorted(tested) == sorted(np.flatnonzero(groups >= 20) if test_region is not None else range(400))
        for part in parts:
            sets = [set(groups[rows]) for rows in (part.train, part.val, part.test)]
            assert not (sets[0] & sets[1] or sets[0] & sets[2] or sets[1] & sets[2])
    sizes = [len(part.test) for part in make_parts(groups, None, 0)]
    assert len(sizes) == 5 and max(sizes) < 1.5 * min(sizes)
    tests = [{tuple(part.test) for part in make_parts(groups, None, seed)} for seed in (0, 0, 1)]
    assert tests[0] == tests[1] and not tests[0] & tests[2]  # all groups have different sizes, or nearly so
    labels = np.where(groups >= 20, 1, 0)  # the second class is in the test regions only
    assert frequent_classes(labels, 2, make_parts(groups, groups >= 20, 0), 2) == [0]
    assert frequent_classes(labels, 2, make_parts(groups, None, 0), 2) == [0, 1]


def test_whole_regions_are_left_out_in_turn_and_many_regions_share_folds() -> None:
    rng = np.random.default_rng(1)
    for number in (2, 3, 9):
        regions = rng.integers(0, number, 500)
        groups = 100 * regions + rng.integers(0, 20, 500)
        groups[regions == 1] -= 90  # some groups lie on the border of the regions 0 and 1
        parts = make_parts(groups, None, 3, regions)
        assert len(parts) == min(number, 5)
        assert sorted(np.concatenate([part.test for part in parts])) == list(range(500))
        for part in parts:
            known = np.concatenate([part.train, part.val])
            assert not set(regions[known]) & set(regions[part.test])
            assert not set(groups[known]) & set(groups[part.test])
            assert not set(groups[part.train]) & set(groups[part.val]) and len(part.val)
    with pytest.raises(DataError, match="all entities to probe are in one region"):
        make_parts(groups, None, 0, np.zeros(500, np.int64))


def test_the_number_of_threads_does_not_change_predictions() -> None:
    rng = np.random.default_rng(0)
    x, y, groups = rng.normal(size=(90, 4)).astype(np.float32), rng.integers(0, 3, 90), rng.integers(0, 9, 90)
    vectors = EntityVectors({"a": x}, {"b": np.abs(x).round()}, {"a": {0.5: x[:, ::-1], 1.0: x}})
    parts = [make_parts(groups, None, seed) for seed in (0, 1)]
    one, two = (fit_entity_heads(vectors, y, 3, parts, threads, lambda done, total: None) for threads in (1, 2))
    assert list(one) == [Row(DUMMY), Row("a"), Row("a", 0.5), Row("b"), Row("a", 1.0)]
    assert all(np.array_equal(one[row], two[row]) for row in one)
    assert one["a", 1.0] is one["a", 0.0] and not np.array_equal(one["a", 0.5], one["a", 0.0])
    known = np.concatenate([parts[1][0].train, parts[1][0].val])
    assert one[Row(DUMMY)][1, parts[1][0].test[0]] == pytest.approx(np.bincount(y[known]) / len(known))


def test_neighbours_are_the_ten_nearest_entities_with_tags(tmp_path: Path) -> None:
    path = write_synthetic_processed(tmp_path / "s@0" / "processed.h5", 5, n_tiles=12)
    store = TileStore.open([path])
    table = torch.rand(store.n_vocab, 5, generator=torch.Generator().manual_seed(1))
    hidden = np.flatnonzero(np.random.default_rng(2).random(store.n_vocab) < 0.5)
    view = replace(View.default(store, 1).drop(tags=hidden), keep_untagged=True)
    batch = store.read(view, view.tiles)
    found = references(store, view, np.sort(batch.piece_rows.numpy()), table)
    counter = TagCounts(FrozenInputs(table, tags=TagList(store.keys, store.values)))
    ends, centres = batch.cu_seqlens.tolist(), batch.box.view(-1, 4, 2).mean(1).double()
    fewest = 10
    for tile in range(batch.n_tiles):
        for row in range(ends[tile], ends[tile + 1]):
            others = [one for one in range(ends[tile], ends[tile + 1]) if one != row]
            tags = {one: batch.tag_ids[batch.tag_offsets[one] : batch.tag_offsets[one + 1]] for one in others}
            others = [one for one in others if len(tags[one])]
            others.sort(key=lambda one: (float((centres[one] - centres[row]).norm()), one))
            near = others[:10]
            fewest = min(fewest, len(near))
            mean = torch.stack([table[tags[one]].mean(0) for one in near]).mean(0) if near else torch.zeros(5)
            place = int(np.searchsorted(np.sort(batch.piece_rows.numpy()), int(batch.piece_rows[row])))
            assert found[NEIGHBOURS][place] == pytest.approx(mean.numpy(), abs=1e-5)
            counts = counter.encode(batch).entities[near].sum(0)
            assert np.array_equal(found[COUNTS][place], counts.numpy())
    assert fewest < 10


def test_too_few_groups_and_empty_test_regions_are_refused() -> None:
    groups = np.repeat([1, 2], 50)
    with pytest.raises(DataError, match="they are in 2 zoom-14 groups, expected at least 3"):
        make_parts(groups, None, 0)
    with pytest.raises(DataError, match="they are in 1 zoom-14 group, expected"):
        make_parts(groups, None, 0, groups)
    with pytest.raises(DataError, match="have no entity to test"):
        make_parts(np.arange(100), np.zeros(100, bool), 0)


def test_the_most_informative_visible_tag_is_the_one_that_decides(tmp_path: Path, spec: EntitySpec) -> None:
    store, _ = planted(tmp_path, "neighbours")
    examples = find_examples(store, spec, 1000)
    view = hiding_view(store, examples, True, DEFAULT_LIMITS)
    assert informative_tags(store, examples, visible_tags(store, view, examples.pieces)) == []
    shown = replace(view, dropped_tags=np.empty(0, np.int64))
    found = informative_tags(store, examples, visible_tags(store, shown, examples.pieces))
    assert {one["tag"] for one in found} == {*(f"building={name}" for name in CLASSES), "building=*"}
    assert found[0]["share"] == 1.0 and found[0]["only_with_key"] == 1.0 and found[-1]["bits"] == 0
