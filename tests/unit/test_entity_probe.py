"""Entity probes on planted stores: what decides the class is found, and hidden tags never reach a vector."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from planted_entities import BUILDINGS, CLASSES, TASK, Decides, write_planted
from synthetic_store import write_synthetic_features, write_synthetic_geometry

from geojepa_cli.baselines.tagpool import TagPool
from geojepa_cli.config.limits import DEFAULT_LIMITS
from geojepa_cli.config.modality import Modality
from geojepa_cli.config.schema import ModelConfig
from geojepa_cli.errors import DataError
from geojepa_cli.evaluate.entity_probe import (
    CROSS_VALIDATION,
    DUMMY,
    EntityResult,
    frequent_classes,
    make_parts,
    run_entity_probe,
)
from geojepa_cli.evaluate.entity_tags import informative_tags, visible_tags
from geojepa_cli.evaluate.entity_vectors import NEIGHBOURS, SHAPE, model_vectors, reference_vectors
from geojepa_cli.models.base import Embedder, FrozenInputs
from geojepa_cli.models.jepa.build import build_encoder
from geojepa_cli.models.jepa.embedder import JepaEmbedder
from geojepa_cli.store.features import open_features
from geojepa_cli.store.store import TileStore
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
    vectors = {
        "tagpool": model_vectors(store, view, examples.pieces, TagPool(FrozenInputs(table)), CPU, quiet),
        **reference_vectors(store, view, examples.pieces, table, quiet),
    }
    bare = visible_tags(store, view, examples.pieces).bare
    assert bare.all()  # a building has no tag but the hidden one
    parts = make_parts(examples.groups, None, 0)
    return run_entity_probe(vectors, examples.labels, examples.classes, examples.groups, bare, parts, CROSS_VALIDATION)


@pytest.mark.parametrize(
    ("decides", "finders"), [("shape", {SHAPE}), ("neighbours", {NEIGHBOURS}), ("nothing", set[str]())]
)
def test_a_head_finds_the_class_only_where_its_vector_shows_it(
    tmp_path: Path, spec: EntitySpec, decides: Decides, finders: set[str]
) -> None:
    result = probe(tmp_path, decides, spec)
    balanced = {score.model: score.balanced.value for score in result.scores}
    assert 0.2 < balanced[DUMMY] < 0.4
    for name, value in balanced.items():
        if name in finders or (finders and name.startswith("tags, ")):
            assert value > 0.95, (name, value)
        else:
            assert value < 0.42, (name, value)
    for score in result.scores:
        assert score.bare_accuracy == pytest.approx(score.accuracy.value)
        assert score.balanced.low <= score.balanced.value <= score.balanced.high
    found = result.differences["tagpool", SHAPE][1]
    assert (found.high < -0.4) == (decides == "shape")


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
        vectors = {one.name: model_vectors(store, view, found.pieces, one, CPU, quiet) for one in models}
        tables.append(vectors | reference_vectors(store, view, found.pieces, table, quiet))
    for name in tables[0]:
        assert tables[0][name].tobytes() == tables[1][name].tobytes(), name
    assert tables[0]["jepa"].std(axis=0).min() > 0


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
    labels = np.where(groups >= 20, 1, 0)  # the second class is in the test regions only
    assert frequent_classes(labels, 2, make_parts(groups, groups >= 20, 0), 2) == [0]
    assert frequent_classes(labels, 2, make_parts(groups, None, 0), 2) == [0, 1]


def test_too_few_groups_and_empty_test_regions_are_refused() -> None:
    groups = np.repeat([1, 2], 50)
    with pytest.raises(DataError, match="they are in 2 zoom-14 groups, expected at least 3"):
        make_parts(groups, None, 0)
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
