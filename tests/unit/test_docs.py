"""The examples of the documentation run, and do what the text says."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import exif_bytes as eb
import h5py
import numpy as np
import pytest
from hint_commands import check_hint
from raw_tokens import raw_tiles
from synthetic_store import write_synthetic_processed

from geojepa_cli.demo.city import make_city
from geojepa_cli.demo.images import write_images
from geojepa_cli.demo.write import write_pbf
from geojepa_cli.store.view_file import load_views
from geojepa_cli.tasks.build import RegionData, write_task
from geojepa_cli.tasks.spec import load_task
from geojepa_cli.tasks.splits import SplitRule

ROOT = Path(__file__).resolve().parents[2]


def test_the_h5py_example_of_formats_md_finds_the_roads_of_a_tile(tmp_path: Path) -> None:
    path = write_synthetic_processed(tmp_path / "processed.h5", seed=3, n_tiles=12)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/formats.md").read_text(), flags=re.S)
    names: dict[str, object] = {}
    exec(compile(code, "formats.md", "exec"), names)
    seen = 0
    for tile, (_, tokens) in enumerate(raw_tiles(path)):
        found = names["roads"](path, tile)  # type: ignore[operator]
        expected = {(token.ref[1], token.tags["highway"]) for token in tokens if "highway" in token.tags}
        assert expected <= {(osm_id, value) for osm_id, value, _ in found}
        assert all(metres >= 0 for _, _, metres in found)
        seen += len(expected)
    assert seen > 0


def test_the_pipeline_of_python_md_runs_on_a_small_city(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    city = make_city("small")
    write_pbf(city, tmp_path / "town.osm.pbf")
    write_images(city, tmp_path / "images")
    lonlat = eb.gps((80, 50, 6), (35, 0, 18), "W", "N")
    eb.write_photo(tmp_path / "photos/a.jpg", eb.exif(places=lonlat))
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(), flags=re.S)
    assert len(blocks[0].strip().splitlines()) <= 12
    names: dict[str, Any] = {}
    for block in blocks:
        code = block.replace('"train.max_steps": 200', '"train.max_steps": 2')
        exec(compile(code, "python.md", "exec"), names)
    assert {score["model"] for score in names["scores"]} == {"dummy", "tagpool", "town"}
    assert names["page"].read_text(encoding="utf-8").count("<svg") == 10  # the query, 8 neighbours, the overview
    assert names["its_vector"].shape == (names["vectors"]["entity/vector"].shape[1] * 3 + 512 + 512,)
    assert names["first_entity"].partition("/")[0] in ("node", "way", "relation")
    assert names["place"] == pytest.approx((-80.835, 35.005))
    assert names["tile"].tolist() == [16, 18052, 25957]
    assert "did you mean `town`" in names["message"]
    check_hint(names["hint"])


def test_every_stage_of_the_readme_exists() -> None:
    from geojepa_cli.app import app

    commands = {command.name for command in app.registered_commands}
    used = set(re.findall(r"^geojepa ([a-z-]+)", (ROOT / "README.md").read_text(), flags=re.M))
    assert used and used <= commands


def test_every_link_within_the_documentation_leads_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_sixth_task_of_tasks_md_sums_the_parks_of_a_tile_and_hides_them(tmp_path: Path) -> None:
    text, *_ = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/tasks.md").read_text(), flags=re.S)
    (tmp_path / "park_area.yaml").write_text(text)
    spec = load_task(tmp_path / "park_area.yaml")
    assert spec.name == "park_area"
    path = _with_parks(tmp_path / "processed.h5")
    data = RegionData.open(path, "city")
    (tmp_path / "made").mkdir()
    report = write_task(data, spec, SplitRule(), tmp_path / "made")
    with h5py.File(path) as file:
        area = file["piece/area_m2"][...]
    tiles = raw_tiles(path)
    parks = [[token for token in tokens if _is_park(token.tags)] for _, tokens in tiles]
    expected = [sum(float(area[token.piece]) for token in found) for found in parks]
    with h5py.File(tmp_path / "made/labels.h5") as file:
        np.testing.assert_allclose(file["label"][...], expected, rtol=1e-6)
        eligible = file["eligible"][...].astype(bool)
    assert max(expected) > 0 and report["mask"]["entities masked whole"] > 0
    _, masked = load_views([tmp_path / "made/views.h5"], data.store)
    batch = data.store.read(masked, masked.tiles)
    hidden = {token.piece for row in np.flatnonzero(eligible) for token in parks[row]}
    assert hidden and not hidden & set(batch.piece_rows.tolist())


def _is_park(tags: dict[str, str]) -> bool:
    return tags.get("leisure") in ("park", "garden") or tags.get("landuse") in ("recreation_ground", "village_green")


def _with_parks(path: Path) -> Path:
    """A random region in which what else is a river is a park."""
    write_synthetic_processed(path, seed=3, n_tiles=90)
    with h5py.File(path, "r+") as file:
        for column, before, after in (("key", b"waterway", b"leisure"), ("value", b"river", b"park")):
            ends, old = file[f"vocab/{column}"][...], file[f"vocab/{column}_utf8"][...].tobytes()
            texts = [old[a:b] for a, b in pairwise(ends.tolist())]
            texts = [after if text == before else text for text in texts]
            file[f"vocab/{column}"][...] = np.cumsum([0, *map(len, texts)])
            del file[f"vocab/{column}_utf8"]
            file.create_dataset(f"vocab/{column}_utf8", data=np.frombuffer(b"".join(texts), np.uint8))
    return path
