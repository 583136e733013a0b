"""Artifacts: identity, publication, finding by name."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from workspace_artifacts import hint_text, publish

from geojepa_cli.errors import DataError, NotFoundError, UsageError
from geojepa_cli.workspace.kinds import check_name, legal_name
from geojepa_cli.workspace.lineage import trace
from geojepa_cli.workspace.manifest import MANIFEST
from geojepa_cli.workspace.prune import find_prunable, plan_pruning
from geojepa_cli.workspace.verify import verify
from geojepa_cli.workspace.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ws")


def test_the_same_parameters_find_the_published_artifact(workspace: Workspace) -> None:
    first = publish(workspace, zoom=16)
    with workspace.build("source", "r", {"zoom": 16}) as build:
        assert build.existing is not None
        assert build.existing.ref == first.ref


def test_other_parameters_inputs_and_versions_make_another_id(workspace: Workspace) -> None:
    a, b = publish(workspace, zoom=16), publish(workspace, zoom=15)
    tiles = [publish(workspace, "tiles", inputs=(source,)) for source in (a, b)]
    with workspace.build("tiles", "r", {}, [a], stage_version=2) as build:
        later = build.id
    assert len({a.id, b.id, *(t.id for t in tiles), later}) == 5
    assert workspace.find("tiles", "r").ref == tiles[1].ref
    assert workspace.derived("tiles", "r", a).ref == tiles[0].ref


def test_the_id_is_the_hash_of_canonical_json(workspace: Workspace) -> None:
    """Written out, so that artifacts keep their ids from one version of geojepa to the next."""
    source = publish(workspace, zoom=16)
    identity = (
        f'{{"inputs":["{source.full_ref}"],"kind":"tiles","parameters":{{"tag":"\\u00e9","zoom":16}},'
        '"schema":1,"stage_version":1}'
    )
    expected = hashlib.sha256(identity.encode()).hexdigest()[:12]
    assert publish(workspace, "tiles", "t", (source,), zoom=16, tag="é").id == expected


def test_a_version_that_is_built_again_becomes_the_newest(workspace: Workspace) -> None:
    first = publish(workspace, zoom=16)
    second = publish(workspace, zoom=15)
    os.utime(first.path / MANIFEST, (1, 1))
    assert workspace.find("source", "r").ref == second.ref
    os.utime(second.path / MANIFEST, (2, 2))
    publish(workspace, zoom=16)
    assert workspace.find("source", "r").ref == first.ref


def test_the_last_requested_is_the_newest_whatever_the_clock_says(workspace: Workspace) -> None:
    ahead = time.time_ns() + 3_600 * 10**9
    both = [publish(workspace, zoom=zoom) for zoom in (16, 15)]
    for one in both:
        os.utime(one.path / MANIFEST, ns=(ahead, ahead))
    for zoom, one in ((16, both[0]), (15, both[1]), (16, both[0])):
        publish(workspace, zoom=zoom)
        assert workspace.find("source", "r").ref == one.ref
    made = publish(workspace, zoom=14)
    assert workspace.find("source", "r").ref == made.ref


def test_the_manifest_has_files_counts_and_the_attribution_of_its_inputs(workspace: Workspace) -> None:
    source = publish(workspace)
    tiles = publish(workspace, "tiles", inputs=(source,))
    manifest = json.loads((tiles.path / MANIFEST).read_text())
    assert manifest["inputs"] == [f"source/{source.ref}"]
    assert manifest["attribution"] == ["made for source", "made for tiles"]
    assert manifest["files"]["data"]["bytes"] == tiles.size == 2
    assert "seconds" not in json.dumps(manifest)


def test_a_mistyped_name_gets_the_nearest(workspace: Workspace) -> None:
    publish(workspace, name="harrisburg")
    with pytest.raises(NotFoundError, match="did you mean `harrisburg`"):
        workspace.find("source", "harisburg")
    with pytest.raises(NotFoundError) as caught:
        workspace.find("tiles", "harrisburg")
    assert hint_text(caught.value) == f"geojepa --workspace {workspace.root} tile --region harrisburg"


def test_an_unknown_version_lists_the_versions(workspace: Workspace) -> None:
    made = publish(workspace)
    with pytest.raises(NotFoundError, match=made.ref) as caught:
        workspace.find("source", "r@0123456789ab")
    assert hint_text(caught.value) == f"geojepa --workspace {workspace.root} artifacts"
    assert workspace.find("source", made.ref[:5]).ref == made.ref
    with pytest.raises(UsageError, match="no id after the `@`"):
        workspace.find("source", "r@")


@pytest.mark.parametrize("name", ["../evil", "a/b", "", "x@y", ".hidden", "a b", "x" * 200])
def test_a_name_that_could_leave_the_workspace_is_refused(workspace: Workspace, name: str) -> None:
    with pytest.raises(UsageError), workspace.build("source", name, {}):
        pass
    assert not workspace.root.exists()


def test_two_regions_need_a_choice(workspace: Workspace) -> None:
    publish(workspace, name="a")
    assert workspace.only("source") == "a"
    publish(workspace, name="b")
    with pytest.raises(UsageError, match="several regions \\(`a`, `b`\\)"):
        workspace.only("source")


@pytest.mark.parametrize("ref", ["foo", "bogus/x", "/", "tiles"])
def test_a_reference_to_no_kind_is_a_usage_error(workspace: Workspace, ref: str) -> None:
    with pytest.raises(UsageError) as caught:
        workspace.at(ref)
    assert hint_text(caught.value) == f"geojepa --workspace {workspace.root} artifacts"


def test_lineage_leads_down_to_the_sources_and_shows_what_is_missing(workspace: Workspace) -> None:
    source = publish(workspace)
    tiles = publish(workspace, "tiles", inputs=(source,))
    processed = publish(workspace, "processed", inputs=(tiles,))
    lines = [(depth, node.ref, node.artifact is None) for depth, node in trace(workspace, processed).walk()]
    assert lines == [(0, processed.full_ref, False), (1, tiles.full_ref, False), (2, source.full_ref, False)]
    workspace.remove(source)
    assert [node.artifact is None for _, node in trace(workspace, processed).walk()] == [False, False, True]


def test_older_versions_are_prunable_unless_a_newest_one_was_made_from_them(workspace: Workspace) -> None:
    first, second = publish(workspace, zoom=1), publish(workspace, zoom=2)
    tiles = publish(workspace, "tiles", inputs=(first,), zoom=16)
    other_zoom = publish(workspace, "tiles", inputs=(first,), zoom=15)
    newer = publish(workspace, "tiles", inputs=(second,), zoom=16)
    for at, artifact in enumerate((first, second, tiles, other_zoom, newer), start=1):
        os.utime(artifact.path / MANIFEST, (at, at))
    assert [artifact.ref for artifact in find_prunable(workspace.everything())] == [tiles.ref]
    workspace.remove(other_zoom)
    assert [artifact.ref for artifact in find_prunable(workspace.everything())] == [first.ref, tiles.ref]


def test_verification_lists_changed_and_unreadable_artifacts_with_the_commands_that_rebuild_them(
    workspace: Workspace,
) -> None:
    publish(workspace)
    changed, cut = publish(workspace, "tiles", a=1), publish(workspace, "processed", a=1)
    (changed.path / "data").write_bytes(b'{"a": 2}')
    (cut.path / "data").write_bytes(b"")
    seen: list[int] = []
    damaged = verify(workspace, workspace.everything(), seen.append)
    assert seen == [1, 2]
    assert [damage.ref for damage in damaged] == [changed.full_ref, cut.full_ref]
    assert damaged[0].reasons == ("data",)
    root = workspace.root
    assert str(damaged[0].hint) == f"rm -r {changed.path} && geojepa --workspace {root} tile --region r"
    assert str(damaged[1].hint) == f"geojepa --workspace {root} process --region r"


def test_a_file_is_compared_with_its_checksum_when_it_is_read(workspace: Workspace) -> None:
    artifact = publish(workspace, zoom=16)
    assert artifact.read_json("data") == {"zoom": 16}
    for content in (b'{"zoom": 17}', b"{" * 12):
        (artifact.path / "data").write_bytes(content)
        with pytest.raises(DataError, match="differs from the checksum") as caught:
            workspace.find("source", "r").read_json("data")
        assert hint_text(caught.value).startswith(
            f"rm -r {artifact.path} && geojepa --workspace {workspace.root} fetch"
        )


def test_a_missing_count_is_an_error_of_the_data(workspace: Workspace) -> None:
    artifact = publish(workspace)
    assert artifact.counts["rows"] == 1
    with pytest.raises(DataError, match="has no count `tiles`"):
        artifact.counts["tiles"]


def test_a_workspace_knows_all_kinds_even_if_no_stage_was_imported(workspace: Workspace) -> None:
    publish(workspace)
    program = (
        "import sys; from geojepa_cli.workspace.workspace import Workspace; "
        f"print([a.full_ref for a in Workspace({str(workspace.root)!r}).everything()])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([publish(workspace).full_ref])


def test_a_published_artifact_equals_the_one_that_is_read_again(workspace: Workspace) -> None:
    with workspace.build("tiles", "r", {}) as build:
        made = build.publish(counts={"tiles": 1, "areas": 2})
    again = workspace.find("tiles", "r")
    assert made == again and list(made.counts) == list(again.counts)


def test_of_an_artifact_that_is_a_symbolic_link_only_the_link_is_deleted(workspace: Workspace, tmp_path: Path) -> None:
    old, new = publish(workspace, a=1), publish(workspace, a=2)
    for at, artifact in enumerate((old, new), start=1):
        os.utime(artifact.path / MANIFEST, (at, at))
    target = old.path.rename(tmp_path / old.path.name)
    old.path.symlink_to(target)
    plan = plan_pruning(workspace)
    assert plan.artifacts == (old,) and plan.delete(workspace) == []
    assert workspace.everything() == [new] and not old.path.is_symlink()
    assert (target / MANIFEST).is_file() and (target / "data").read_bytes() == b'{"a": 1}'


@pytest.mark.parametrize("what", ["file", "link to nothing", "link without manifest"])
def test_what_takes_the_place_of_an_artifact_is_replaced(workspace: Workspace, tmp_path: Path, what: str) -> None:
    artifact = publish(workspace)
    target = artifact.path.rename(tmp_path / "elsewhere")
    (target / MANIFEST).unlink()
    if what == "file":
        artifact.path.write_text("no artifact")
    else:
        artifact.path.symlink_to(target if what == "link without manifest" else tmp_path / "gone")
    again = publish(workspace)
    assert again == artifact and not again.path.is_symlink() and not again.verify()
    assert (target / "data").is_file()


def test_manifests_are_utf_8_in_every_locale(workspace: Workspace) -> None:
    program = (
        "from geojepa_cli.workspace.workspace import Workspace\n"
        f"with Workspace({str(workspace.root)!r}).build('source', 'r', {{}}) as build:\n"
        "    build.publish(attribution=[chr(169)])"
    )
    ascii_only = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ | ascii_only)
    assert workspace.find("source", "r").attribution == ["©"]


@pytest.mark.parametrize(("text", "name"), [("a.partial.partial", "a"), ("-ä b", "b"), ("ä", "NAME")])
def test_the_hint_for_a_wrong_name_has_a_valid_name(text: str, name: str) -> None:
    legal = legal_name(text)
    assert legal == name
    check_name(legal)
