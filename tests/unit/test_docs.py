"""The examples of the documentation run, and say what they claim."""

from __future__ import annotations

import re
from pathlib import Path

from raw_tokens import raw_tiles
from synthetic_store import write_synthetic_processed

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


def test_every_stage_of_the_readme_exists() -> None:
    from geojepa_cli.app import app

    commands = {command.name for command in app.registered_commands}
    used = set(re.findall(r"^geojepa ([a-z-]+)", (ROOT / "README.md").read_text(), flags=re.M))
    assert used and used <= commands


def test_every_link_within_the_documentation_leads_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
