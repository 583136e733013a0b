"""Images drawn from the map through the commands: they are marked wherever a figure or a page shows them."""

from __future__ import annotations

from pathlib import Path

import pytest
from commandline import TINY_TRAINING, invoke
from demo_workspace import DemoCity
from hint_commands import check_hint

from geojepa_cli import Workspace, stages
from geojepa_cli.errors import GeojepaError
from geojepa_cli.store.images import ImageStore
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.prune import find_prunable

MARK = "drawn images"
CREDIT = "Drawn images: made from the map by geojepa, no aerial imagery"
SETTINGS = {
    "model.modalities": "[tags, image]",
    "model.embed_dim": 16,
    **TINY_TRAINING,
    "train.batch_tokens": 300,
}


@pytest.fixture(scope="module")
def workspace(demo_city: DemoCity) -> Workspace:
    return Workspace(demo_city.folder / "workspace")


@pytest.fixture(scope="module")
def aerial(workspace: Workspace) -> Artifact:
    """The images that came with the demo city's source."""
    return workspace.find("images", "demo")


@pytest.fixture(scope="module")
def drawn(workspace: Workspace, aerial: Artifact) -> Artifact:
    ((_, images),) = stages.tile(workspace, "demo", imagery="drawn", draw={"missing": 0.2, "seed": 3})
    assert images is not None
    return images


@pytest.fixture(scope="module")
def model(workspace: Workspace, drawn: Artifact) -> Artifact:
    return stages.pretrain(workspace, "tiny.yaml", "demo", SETTINGS, "sketch")


def test_the_manifest_has_all_settings_and_the_mark(workspace: Workspace, aerial: Artifact, drawn: Artifact) -> None:
    rates = {"missing": 0.2, "shadows": 1.0, "noise": 4.0, "jitter": 8.0, "seed": 3}
    assert drawn.params == {"zoom": 16, "imagery": "drawn", "appearance": 2, **rates}
    assert CREDIT in drawn.attribution and CREDIT not in aerial.attribution
    assert drawn.counts["images"] == len(ImageStore(drawn.file("images.h5"))) == aerial.counts["images"]
    share = drawn.counts["pieces left out"] / (drawn.counts["pieces left out"] + drawn.counts["pieces drawn"])
    assert share == pytest.approx(0.2, abs=0.03)
    listed = invoke(workspace, "artifacts").stdout
    assert "zoom 16, drawn" in listed
    lineage = invoke(workspace, "artifacts", "--lineage", "images/demo").stdout
    assert "imagery=drawn" in lineage and "missing=0.2" in lineage


def test_drawn_and_aerial_images_exist_together_and_the_last_made_are_used(
    workspace: Workspace, aerial: Artifact, drawn: Artifact
) -> None:
    assert not {aerial.ref, drawn.ref} & {one.ref for one in find_prunable(workspace.everything())}
    stages.tile(workspace, "demo")
    assert workspace.find("images", "demo").ref == aerial.ref
    assert "--imagery drawn --draw missing=0.2 --draw seed=3" in str(drawn.rebuild_hint())
    stages.tile(workspace, "demo", imagery="drawn", draw=["seed=3", "missing=0.2"], threads=2)
    assert workspace.find("images", "demo").ref == drawn.ref


def test_the_same_map_gives_the_same_bytes_with_two_threads(workspace: Workspace, drawn: Artifact) -> None:
    before = drawn.file("images.h5").read_bytes()
    workspace.remove(drawn)
    ((_, again),) = stages.tile(workspace, "demo", imagery="drawn", draw={"missing": 0.2, "seed": 3}, threads=2)
    assert again is not None and again.ref == drawn.ref and again.file("images.h5").read_bytes() == before


def test_models_embeddings_and_scores_are_marked(workspace: Workspace, drawn: Artifact, model: Artifact) -> None:
    assert drawn.full_ref in model.inputs and CREDIT in model.attribution
    assert f"- Images: {MARK}, made from the map; no aerial imagery" in model.file("model_card.md").read_text()
    probe = stages.probe(workspace, "building_count", "sketch", region="demo", head="linear")
    assert f'"sketch ({MARK})"' in probe.file("report.json").read_text()
    assert '"sketch"' not in probe.file("report.json").read_text()
    embeddings = workspace.find("embeddings", "sketch.demo")
    assert embeddings.params["images"] == MARK and CREDIT in embeddings.attribution
    out = workspace.root / "report"
    stages.report(workspace, out=out)
    assert MARK in "".join(path.read_text() for path in Path(out).rglob("*.md"))


def test_a_model_of_tags_alone_is_not_marked(workspace: Workspace, drawn: Artifact) -> None:
    (made,) = stages.embed(workspace, "tagpool", "demo")
    assert "images" not in made.params and CREDIT not in made.attribution


def test_the_page_of_neighbours_marks_drawn_images(workspace: Workspace, drawn: Artifact, model: Artifact) -> None:
    tile = "16_18052_25957"
    page = stages.knn(workspace, tile, model="tagpool", region="demo", html=True).file("neighbours.html").read_text()
    assert CREDIT in page and f'alt="drawn image of tile {tile}"' in page and ">drawn</span>" in page
    assert "aerial image of" not in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--draw", "missing=0.2"), "requires `--imagery drawn`"),
        (("--imagery", "naip"), "expected `source` or `drawn`"),
        (("--imagery", "drawn", "--draw", "missing=1.5"), "at most 1"),
        (("--imagery", "drawn", "--draw", "cloud=1"), "unknown key `cloud`"),
    ],
)
def test_wrong_arguments_are_refused_before_any_work(
    workspace: Workspace, arguments: tuple[str, ...], words: str
) -> None:
    error = invoke(workspace, "tile", "--region", "demo", *arguments).exception
    assert isinstance(error, GeojepaError) and words in error.message and error.exit_code == 2
    check_hint(str(error.hint))
