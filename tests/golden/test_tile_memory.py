"""`geojepa-tiler tile --memory` holds: private memory stays under it on an input whose tables take far more."""

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
    """Runs the binary; the most resident memory it had that no file stands behind."""
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
    assert peaks["2G", 2] > 128 * MIB  # otherwise the limit would show nothing
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
        # The area is marked in tiles that it covers; the relation has their outline, and so no tile that it covers.
        assert pieces[0] == pieces[1] > 600_000
        assert covering[0] > 0.99 * pieces[0]
        assert covering[1] == 0
        assert file["part/role"].shape[0] == pieces.sum() - covering[0] + 1
