"""`geojepa-tiler tile --memory` limits the private memory, on inputs whose tables take far more."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from geojepa_cli import native
from geojepa_cli.demo.city import make_city
from geojepa_cli.demo.write import write_pbf

MULTIPLY = Path(__file__).resolve().parents[2] / "build/native/geojepa-multiply"
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 copies of the demo city: about 2 million nodes."""
    folder = tmp_path_factory.mktemp("large")
    write_pbf(make_city("full"), folder / "city.osm.pbf")
    subprocess.run([MULTIPLY, "64", folder / "large.osm.pbf", folder / "city.osm.pbf"], check=True)
    return folder / "large.osm.pbf"


def peak_private_bytes(*arguments: str) -> int:
    """Run the binary. Returns its peak of anonymous resident memory."""
    peak = 0
    command = [native.find_binary(), *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            for line in status.read_text().splitlines():
                if line.startswith("RssAnon:"):
                    peak = max(peak, int(line.split()[1]) * 1024)
            time.sleep(0.002)
    assert process.returncode == 0
    return peak


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="reads Linux's /proc")
def test_private_memory_stays_under_the_limit_and_the_bytes_the_same(tmp_path: Path, large: Path) -> None:
    peaks = {}
    for memory, threads in (("2G", 2), ("64M", 1), ("64M", 8)):
        output = tmp_path / f"{memory}-{threads}.h5"
        run = ("tile", "--input", str(large), "--output", str(output), "--memory", memory, "--threads", str(threads))
        peaks[memory, threads] = peak_private_bytes(*run)
        if memory == "2G":
            expected = output.read_bytes()
        assert output.read_bytes() == expected
        assert peak_private_bytes("process", "--input", str(output), "--output", str(tmp_path / "p.h5")) < 64 * MIB
    assert peaks["2G", 2] > 128 * MIB  # otherwise the limit of 64 MiB would prove nothing
    assert peaks["64M", 1] < 64 * MIB
    assert peaks["64M", 8] < 64 * MIB
    assert [path.name for path in tmp_path.iterdir() if "spill" in path.name or "spool" in path.name] == []


def test_a_relation_whose_member_covers_very_many_tiles_stays_under_the_limit(tmp_path: Path) -> None:
    corners = [(0, 40), (4, 40), (4, 44), (0, 44)]
    lines = [f"n{i} v1 dV T x{lon}.5 y{lat}.5" for i, (lon, lat) in enumerate(corners, 1)]
    lines.append("w1 v1 dV Tlanduse=forest Nn1,n2,n3,n4,n1")
    lines.append("r1 v1 dV Ttype=site,site=park Mw1@,n1@entrance")
    (tmp_path / "map.opl").write_text("\n".join(lines) + "\n")
    run = ("--input", str(tmp_path / "map.opl"), "--output", str(tmp_path / "tiles.h5"), "--memory", "64M")
    assert peak_private_bytes("tile", *run) < 64 * MIB
    with h5py.File(tmp_path / "tiles.h5") as file:
        pieces = np.bincount(file["piece/object"][()])
        covering = np.bincount(file["piece/object"][()], weights=file["piece/covers_tile"][()])
        # The area is marked as covering its tiles. The relation has their outlines instead, and covers no tile.
        assert pieces[0] == pieces[1] > 600_000
        assert covering[0] > 0.99 * pieces[0]
        assert covering[1] == 0
        assert file["part/role"].shape[0] == pieces.sum() - covering[0] + 1


def test_many_members_that_cover_the_same_tiles_stay_under_the_limit(tmp_path: Path) -> None:
    """Each tile has an outline for every member that covers it. A line crosses some of the tiles."""
    lines, ways, node = [], [], 1
    for way in range(1, 101):
        low, high = way * 1e-4, 0.5 - way * 1e-4
        for lon, lat in [(low, low), (high, low), (high, high), (low, high)]:
            lines.append(f"n{node} v1 dV T x{lon:.7f} y{40 + lat:.7f}")
            node += 1
        ways.append(f"w{way} v1 dV Tlanduse=forest Nn{node - 4},n{node - 3},n{node - 2},n{node - 1},n{node - 4}")
    lines += [f"n{node} v1 dV T x0.02 y40.02", f"n{node + 1} v1 dV T x0.48 y40.47"]
    ways.append(f"w101 v1 dV Thighway=path Nn{node},n{node + 1}")
    members = ",".join(f"w{way}@" for way in range(1, 102))
    (tmp_path / "map.opl").write_text("\n".join([*lines, *ways, f"r1 v1 dV Ttype=site,site=park M{members}"]) + "\n")
    run = ("--input", str(tmp_path / "map.opl"), "--output", str(tmp_path / "tiles.h5"), "--memory", "64M")
    assert peak_private_bytes("tile", *run, "--threads", "1") < 64 * MIB
    with h5py.File(tmp_path / "tiles.h5") as file:
        objects, covers = file["piece/object"][()], file["piece/covers_tile"][()]
        parts = np.diff(file["piece/parts"][()].astype(np.int64))
        # The relation has an outline for each tile that a member covers, and the parts of areas and of the line.
        areas, path, site = objects < 100, objects == 100, objects == 101
        assert parts[site].sum() == covers[areas].sum() + parts[areas].sum() + parts[path].sum()
        assert covers[areas].sum() > 700_000 and not covers[site].any()
        assert np.isclose(file["piece/area_m2"][()][site].sum(), file["piece/area_m2"][()][areas].sum(), rtol=1e-5)
