"""The output of `tile` and `process` for a small map, compared line by line with reviewed files.

After an intended change, `GEOJEPA_GOLDEN=write pytest tests/golden/test_golden_output.py` rewrites the files. Review
the difference and raise the version of the stage.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiles_reader import Tiles, run_tiler
from tiles_writer import Processed

from geojepa_cli import native

HERE = Path(__file__).parent


def tile_lines(tiles: Tiles) -> Iterator[str]:
    for ref in tiles.refs:
        tags = " ".join(f"{key}={value}" for key, value in tiles.tags(ref).items())
        members = "".join(f" {role or '-'}:{member}" for member, role in tiles.members(ref))
        yield f"{ref} absent {tiles.absent_members(ref)} {tags}{members}"
    for place, piece in tiles.all_pieces():
        yield f"{place[0]} {place[1]} {piece.ref} {piece.kind} {piece.token} {piece.area_m2:.3f} {piece.length_m:.3f}"
        for role, points in piece.parts:
            yield f"  {role} " + " ".join(f"{lon:.7f},{lat:.7f}" for lon, lat in points)


def processed_lines(processed: Processed) -> Iterator[str]:
    for row in range(len(processed)):
        piece = processed.piece(row)
        box = " ".join(f"{x:.2f},{y:.2f}" for x, y in piece.box)
        yield f"{piece.x} {piece.y} {piece.osm_type}/{piece.osm_id} box {box}"
        for role, points in zip(piece.roles, piece.parts, strict=True):
            yield f"  {role} " + " ".join(f"{x:.2f},{y:.2f}" for x, y in points)
        if len(piece.edges):
            yield "  edges " + " ".join(f"{a}-{b}" for a, b in piece.edges)


@pytest.mark.parametrize("stage", ["tiles", "processed"])
def test_a_small_map_gives_the_reviewed_output(tmp_path: Path, stage: str) -> None:
    tiles, _ = run_tiler(HERE / "map.osm", tmp_path / "tiles.h5")
    files = ["--input", str(tmp_path / "tiles.h5"), "--output", str(tmp_path / "processed.h5")]
    native.run(["process", *files], "process")
    lines = tile_lines(tiles) if stage == "tiles" else processed_lines(Processed(tmp_path / "processed.h5"))
    text = "\n".join(lines) + "\n"
    golden = HERE / f"map.{stage}.txt"
    if os.environ.get("GEOJEPA_GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()
