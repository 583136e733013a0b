"""`geojepa fetch --photos DIR`: what is left out and why, what is stored, and how the artifact is kept."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
from pathlib import Path

import exif_bytes as eb
import numpy as np
import pytest
from commandline import call, invoke, refused, succeed
from gdal_exif import by_gdal, degrees_by_gdal
from photo_region import INSIDE, add_town, dropped, lund, names_of, opened, two_photos

from geojepa_cli import Workspace, stages


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return lund(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return two_photos(tmp_path / "photos")


def test_photos_of_a_folder_are_stored_with_place_and_direction(workspace: Workspace, folder: Path) -> None:
    printed = succeed(workspace, "fetch", "--photos", folder, "--attribution", "Ada", "--json")
    answer = json.loads(printed.stdout)
    artifact = workspace.find("photos", "lund")
    assert answer["command"] == "fetch" and answer["artifact"] == artifact.ref
    counts = {"photos": 2, "read": 2, "with_heading": 1, "with_field_of_view": 1, "dropped": {}}
    assert answer["result"]["counts"] == counts == artifact.counts
    assert artifact.attribution[-1] == "Ada" and artifact.manifest["crs"] == "EPSG:4326"
    assert artifact.inputs == [workspace.find("source", "lund").full_ref]
    store = opened(workspace)
    assert names_of(store) == ["a.jpg", "sub/b.JPEG"] and store.size_px == 224
    assert store.lon == pytest.approx([13.2, 13.2 + 1 / 3600]) and store.lat == pytest.approx([55.7, 55.7])
    assert store.heading == pytest.approx([123.45, np.nan], nan_ok=True)
    assert np.isnan(store.field_of_view[1])


def test_the_same_photos_are_the_same_artifact_wherever_they_are(workspace: Workspace, folder: Path) -> None:
    first = stages.fetch_photos(workspace, folder, attribution="Ada")
    content = first.file("photos.h5").read_bytes()
    moved = folder.rename(folder.with_name("elsewhere"))
    assert stages.fetch_photos(workspace, moved, attribution="Ada") == first
    shutil.rmtree(first.path)
    again = stages.fetch_photos(workspace, str(moved), workspace.find("source", "lund"), attribution=["Ada"])
    assert again.ref == first.ref and again.file("photos.h5").read_bytes() == content
    for change in (
        lambda: (moved / "a.jpg").rename(moved / "c.jpg"),
        lambda: eb.write_photo(moved / "sub/b.JPEG", eb.exif(places=INSIDE), seed=2),
    ):
        change()
        other = stages.fetch_photos(workspace, moved, attribution="Ada")
        assert other.id != first.id
        first = other
    assert len(workspace.artifacts("photos")) == 3


def test_nothing_of_the_files_is_stored_but_pixels_place_and_direction(workspace: Workspace, folder: Path) -> None:
    secret = {0x010F: eb.ascii_("SECRET maker"), 0x010E: eb.ascii_("SECRET title")}
    more = {0x9003: eb.ascii_("1999:12:31 23:59:59"), 0xA431: eb.ascii_("SECRET serial"), eb.FOCAL_35MM: eb.short(30)}
    places = {**INSIDE, 29: eb.ascii_("1999:12:31"), 6: eb.rationals((7_777_777, 3))}
    thumbnail = eb.jpeg(seed=9)
    eb.write_photo(folder / "a.jpg", eb.exif(secret, more, places, thumbnail))
    artifact = stages.fetch_photos(workspace, folder)
    for path in artifact.path.iterdir():
        content = path.read_bytes()
        for word in (
            b"SECRET",
            b"1999:12",
            b"Exif",
            b"JFIF",
            b"\xff\xd8\xff",
            thumbnail[200:240],
            str(folder).encode(),
        ):
            assert word not in content, (path.name, word)


def test_every_photo_that_is_left_out_has_its_reason(workspace: Workspace, folder: Path) -> None:
    places = {
        "no_gps": {},
        "zero_place": eb.gps((0, 0, 0), (0, 0, 0)),
        "invalid_gps": {**INSIDE, 2: eb.rationals((0, 0), (0, 0), (0, 0))},
        "outside": eb.gps((13, 19, 0), (55, 42, 0)),
    }
    for seed, (name, entries) in enumerate(places.items(), 10):
        eb.write_photo(folder / f"{name}.jpg", eb.exif(places=entries), seed)
    inside = eb.exif(places=INSIDE)
    eb.write_photo(folder / "no_gps_2.jpg", None, 20)
    eb.write_photo(folder / "damaged_exif.jpg", eb.exif(places=INSIDE)[:30], 21)
    whole = eb.jpeg(metadata=inside, seed=22)
    (folder / "undecodable.jpg").write_bytes(whole[:-500])
    (folder / "undecodable_2.jpg").write_text("<html></html>")
    (folder / "too_large.jpg").write_bytes(eb.with_size(whole, 65_000, 65_000))
    (folder / "too_small.jpg").write_bytes(eb.jpeg(np.zeros((16, 16, 3), np.uint8), inside))
    (folder / "duplicate.jpg").write_bytes((folder / "sub/b.JPEG").read_bytes())
    done = succeed(workspace, "fetch", "--photos", folder)
    # the copy comes first in the order of names, so that the other one is left out
    expected = {path.name: path.stem.removesuffix("_2") for path in folder.glob("[d-z]*.jpg")}
    expected["sub/b.JPEG"] = expected.pop("duplicate.jpg")
    assert dropped(workspace) == expected and names_of(opened(workspace)) == ["a.jpg", "duplicate.jpg"]
    counts = workspace.find("photos", "lund").counts
    assert (counts["photos"], counts["read"]) == (2, 2 + len(expected))
    assert counts["dropped"] == {reason: list(expected.values()).count(reason) for reason in expected.values()}
    shown = " ".join(done.stderr.split())
    for name in expected:
        assert f"`{name}`" in shown, name
    assert "2 photos cannot be decoded" in shown and "1 photo lies outside the region" in shown


def test_hidden_files_folders_of_thumbnails_and_other_formats_are_no_photos(workspace: Workspace, folder: Path) -> None:
    for number, name in enumerate(("._a.jpg", ".thumbnails/a.jpg", "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg")):
        eb.write_photo(folder / name, eb.exif(places=INSIDE), 30 + number)
    (folder / "directory.jpg").mkdir()
    (folder / "list.txt").write_text("a.jpg")
    (folder / "c.HEIC").write_bytes(b"")
    done = succeed(workspace, "fetch", "--photos", folder)
    assert names_of(opened(workspace)) == ["a.jpg", "sub/b.JPEG"] and dropped(workspace) == {}
    assert "1 image is ignored" in " ".join(done.stderr.split())


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs files that are no regular files")
def test_pipes_links_to_nothing_and_names_that_are_not_utf_8(workspace: Workspace, folder: Path) -> None:
    os.mkfifo(folder / "pipe.jpg")
    (folder / "lost.jpg").symlink_to("nowhere.jpg")
    (folder / "sub/loop").symlink_to(folder, target_is_directory=True)
    shutil.copy(folder / "a.jpg", os.fsencode(folder) + b"/\xff.jpg")
    stages.fetch_photos(workspace, folder)
    assert names_of(opened(workspace)) == ["a.jpg", "sub/b.JPEG"] and dropped(workspace) == {"�.jpg": "duplicate"}


def test_wrong_arguments_are_errors_with_a_hint(workspace: Workspace, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "heic").mkdir()
    (tmp_path / "heic/a.heic").write_bytes(b"")
    for words, message in (
        (["--photos", tmp_path / "absent"], "does not exist: expected a folder with JPEG files, or a table"),
        (["--photos", folder / "a.jpg"], "is neither a folder nor a table"),
        (["--photos", tmp_path / "empty"], "holds no JPEG file"),
        (["--photos", tmp_path / "heic"], "but 1 image in other formats"),
        (["--photos", folder, "--region", "lundd"], "did you mean `lund`?"),
        (["--photos", folder, "--region", "lund", "--pbf", "x.osm.pbf"], "`--pbf` cannot be combined with `--photos`"),
        (["--photos", folder, "--name", "x"], "`--name` cannot be combined with `--photos`"),
        (["--photos", folder, "--imagery", "naip"], "`--imagery` cannot be combined with `--photos`"),
        (["--photos", folder, "--crs", "EPSG:4326"], "is a folder, whose photos have their places in EXIF"),
        (["--crs", "EPSG:4326"], "`--crs` requires `--photos`"),
    ):
        error = refused(workspace, "fetch", *words)
        assert message in error.message, error.message
    assert not workspace.artifacts("photos")


def test_the_region_must_be_one_of_the_workspace(workspace: Workspace, folder: Path, tmp_path: Path) -> None:
    add_town(workspace, "malmo", 12.9, 55.5, 13.05, 55.65)
    assert "choose one with `--region`" in refused(workspace, "fetch", "--photos", folder).message
    both = refused(workspace, "fetch", "--photos", folder, "--region", "lund", "--region", "malmo")
    assert "one region at a time" in both.message
    away = refused(workspace, "fetch", "--photos", folder, "--region", "malmo")
    assert "2 photos lie outside the region: `a.jpg` (at 13.2000000,55.7000000)" in away.message
    assert "the region `malmo` covers 12.9,55.5,13.05,55.65" in away.message
    none = refused(Workspace(tmp_path / "new"), "fetch", "--photos", folder)
    assert str(none.hint).endswith("fetch --pbf FILE --name R")
    assert not workspace.artifacts("photos") and not (tmp_path / "new").exists()


def test_the_bounding_box_of_fetch_limits_the_photos(tmp_path: Path, workspace: Workspace, folder: Path) -> None:
    stages.fetch(workspace, pbf=tmp_path / "lund.osm", name="lund", bbox=(13.1, 55.6, 13.2001, 55.8))
    stages.fetch_photos(workspace, folder)
    assert names_of(opened(workspace)) == ["a.jpg"] and dropped(workspace) == {"sub/b.JPEG": "outside"}


def test_without_a_usable_photo_nothing_is_published_and_a_dry_run_lists_all(
    workspace: Workspace, tmp_path: Path
) -> None:
    names = [f"{number:02}.jpg" for number in range(12)]
    for name in names:
        eb.write_photo(tmp_path / "bare" / name)
    error = refused(workspace, "fetch", "--photos", tmp_path / "bare")
    assert "none of the 12 photos" in error.message and "12 photos have no GPS place in their EXIF" in error.message
    assert "--dry-run --json" in str(error.hint)
    assert [path.name for path in workspace.root.glob("photos/*") if not path.name.endswith(".lock")] == []
    answer = json.loads(succeed(workspace, "fetch", "--photos", tmp_path / "bare", "--dry-run", "--json").stdout)
    assert answer["artifact"] is None and answer["result"]["photos"] == 0
    assert [(one["file"], one["reason"]) for one in answer["result"]["dropped"]] == [(name, "no_gps") for name in names]


def test_a_dry_run_publishes_nothing_and_shows_every_reason(workspace: Workspace, folder: Path) -> None:
    eb.write_photo(folder / "away.jpg", eb.exif(places=eb.gps((14, 0, 0), (55, 42, 0))))
    printed = " ".join(succeed(workspace, "fetch", "--photos", folder, "--dry-run").stdout.split())
    assert "away.jpg: outside: at 14.0000000,55.7000000" in printed and "nothing was imported" in printed
    assert not workspace.artifacts("photos")


def test_magnetic_headings_are_kept_and_counted(workspace: Workspace, folder: Path) -> None:
    eb.write_photo(folder / "a.jpg", eb.exif(places={**INSIDE, 16: eb.ascii_("M"), 17: eb.rationals((20, 1))}))
    counts = stages.fetch_photos(workspace, folder).counts
    assert (counts["with_heading"], counts["magnetic_headings"]) == (1, 1)
    assert opened(workspace).heading.tolist()[0] == 20.0


def test_the_attribution_comes_from_a_file_and_an_option(workspace: Workspace, folder: Path) -> None:
    done = succeed(workspace, "fetch", "--photos", folder)
    assert "has no attribution" in " ".join(done.stderr.split())
    assert workspace.find("photos", "lund").attribution[-1] == "photos: attribution unknown"
    (folder / "ATTRIBUTION.txt").write_text("Photos: Ada, CC BY 4.0\n")
    artifact = stages.fetch_photos(workspace, folder, attribution="Grace")
    assert artifact.attribution[-2:] == ["Photos: Ada, CC BY 4.0", "Grace"]
    words = str(artifact.rebuild_hint()).replace("DIR", str(folder))
    assert json.loads(succeed(workspace, *shlex.split(words)[3:], "--json").stdout)["artifact"] == artifact.ref


@pytest.mark.parametrize("as_table", [False, True])
def test_a_damaged_artifact_is_found_and_its_hint_makes_it_again(
    workspace: Workspace, folder: Path, as_table: bool
) -> None:
    given = folder
    if as_table:
        given = folder / "table.csv"
        given.write_text("file,lon,lat\na.jpg,13.2,55.7\n")
    artifact = stages.fetch_photos(workspace, given, attribution=["Ada", "Grace"])
    content = artifact.file("photos.h5").read_bytes()
    (artifact.path / "photos.h5").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    (damage,) = stages.verify(workspace)
    hint = str(damage.hint)
    words = hint.replace("DIR", str(given)).replace("FILE", str(given)).partition(" && ")
    assert words[0].startswith("rm -r ") and ("FILE" in hint) == as_table
    shutil.rmtree(artifact.path)
    done = invoke(workspace, *words[2].split()[3:])
    assert done.exit_code == 0, done.output
    again = workspace.find("photos", "lund")
    assert again.ref == artifact.ref and again.file("photos.h5").read_bytes() == content


def test_a_damaged_source_is_an_error_with_a_hint(workspace: Workspace, folder: Path) -> None:
    source = workspace.find("source", "lund")
    path = source.file("map.osm")
    path.write_bytes(b"\0" * path.stat().st_size)
    error = refused(workspace, "fetch", "--photos", folder)
    assert "map.osm" in error.message and str(error.hint).startswith(f"rm -r {source.path} && geojepa")


def test_lineage_and_pruning_know_photos(workspace: Workspace, folder: Path) -> None:
    old = stages.fetch_photos(workspace, folder)
    new = stages.fetch_photos(workspace, folder, attribution="Ada")
    assert old.path != new.path
    shown = succeed(workspace, "artifacts", "--lineage", "photos/lund").stdout
    assert workspace.find("source", "lund").ref in shown
    assert [one.ref for one in stages.prune(workspace).artifacts] == [old.ref]


def test_photos_do_not_change_what_is_made_of_the_region(workspace: Workspace, folder: Path) -> None:
    before = stages.tile(workspace, "lund")[0].tiles
    stages.fetch_photos(workspace, folder)
    assert stages.tile(workspace, "lund")[0].tiles == before


def test_real_photos_of_lund_are_stored_where_gdal_finds_them(workspace: Workspace, shared: Path) -> None:
    done = call("fetch", "--photos", shared / "photos/lund", "--json", cwd=workspace.root.parent)
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)["result"]["counts"]
    assert (counts["photos"], counts["read"], counts["with_heading"], counts["dropped"]) == (29, 29, 0, {})
    store = opened(workspace)
    for row, name in enumerate(names_of(store)):
        tags = by_gdal(shared / "photos/lund" / name)
        expected = [degrees_by_gdal(tags, "Longitude"), degrees_by_gdal(tags, "Latitude")]
        assert [store.lon[row], store.lat[row]] == pytest.approx(expected, abs=1e-7)
    content = b"".join(path.read_bytes() for path in workspace.find("photos", "lund").path.iterdir())
    assert b"MAPCompassHeading" not in content and b"Exif" not in content


def test_hostile_files_are_counted_one_by_one(tmp_path: Path, shared: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    add_town(workspace, "rennes", -2.0, 48.0, -1.0, 49.0)
    folder = tmp_path / "hostile"
    shutil.copytree(shared / "photos/hostile", folder)
    eb.write_photo(folder / "sound.jpg", eb.exif(places=eb.gps((1, 30, 0), (48, 30, 0), "W", "N")))
    done = succeed(workspace, "fetch", "--photos", folder)
    no_gps = ("adobe_coords", "corrupt_exif_large_thumbnail", "corrupt_exif_trusted_wrong_type")
    expected = dict.fromkeys((*no_gps, "corrupt_exif_wrong_type", "empty_exif"), "no_gps")
    expected |= dict.fromkeys(("corrupt_exif", "corrupt_exif_2", "fixed_exif"), "too_small")  # 16 × 16 px
    expected |= {"test_exif": "outside"}
    assert dropped(workspace, "rennes") == {f"{name}.jpg": reason for name, reason in expected.items()}
    assert names_of(opened(workspace, "rennes")) == ["sound.jpg"]
    assert all(f"`{name}.jpg`" in " ".join(done.stderr.split()) for name in expected)
