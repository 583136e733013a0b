"""Short runs of the fuzz targets under ASan and UBSan with the driver `native/fuzz/replay.cpp`.

`make fuzz` and the slow test run them under libFuzzer.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import osmium
import pytest

from geojepa_cli import native

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build/replay"
SEEDS = ROOT / "native/fuzz/seeds"
#: Mutations per target: enough to show that driver and targets work. Searching for faults is the task of `make fuzz`.
INPUTS = 200


@pytest.fixture(scope="module")
def replays() -> Path:
    """The folder of the replay binaries. Only the first run compiles them."""
    options = ["-DGEOJEPA_REPLAY=ON", "-DGEOJEPA_BUILD_TESTS=OFF"]
    for command in (
        ["cmake", "-S", ROOT / "native", "-B", BUILD, "-G", "Ninja", *options],
        ["cmake", "--build", BUILD, "--target", "replays"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return BUILD


def replay(binary: Path, inputs: int, found: Path, folder: Path, planted: str = "") -> subprocess.CompletedProcess[str]:
    """Run `binary` on the seeds in `folder` and on `inputs` mutations of them."""
    environment = os.environ | {
        # Stack traces of allocations take half of the clipper's time. LeakSanitizer does not run in every container.
        "ASAN_OPTIONS": "malloc_context_size=2:max_allocation_size_mb=4096:detect_leaks=0",
        "PLANTED": planted,
    }
    return subprocess.run(
        [binary, str(inputs), "1", found, folder], capture_output=True, text=True, check=False, env=environment
    )


@pytest.mark.parametrize("target", ["reader", "clipper"])
def test_mutated_seeds_break_neither_reader_nor_clipper(replays: Path, target: str) -> None:
    seeds = list((SEEDS / target).iterdir())
    done = replay(replays / f"replay-{target}", INPUTS, BUILD / f"found-{target}", SEEDS / target)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{len(seeds) + INPUTS} inputs\n"


@pytest.mark.parametrize(
    ("planted", "message"),
    [
        ("overread", "heap-buffer-overflow"),
        ("overflow", "signed integer overflow"),
        ("throw", "thrown on purpose"),
    ],
)
def test_a_replay_detects_a_planted_mistake_and_keeps_the_input(
    replays: Path, tmp_path: Path, planted: str, message: str
) -> None:
    binary, found = replays / "replay-planted", tmp_path / "found"
    for name in ("good", "kept"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "seed").write_bytes(b"12345678." + bytes(range(40)))
    alone = replay(binary, 0, found, tmp_path / "good", planted)
    assert (alone.returncode, alone.stdout) == (0, "1 inputs\n"), alone.stderr
    assert not found.exists()
    mutated = replay(binary, 1000, found, tmp_path / "good", planted)
    assert mutated.returncode != 0 and message in mutated.stderr
    (tmp_path / "kept" / "seed").write_bytes(found.read_bytes())
    again = replay(binary, 0, tmp_path / "again", tmp_path / "kept", planted)
    assert again.returncode != 0 and message in again.stderr


def test_a_replay_without_seeds_is_an_error(replays: Path, tmp_path: Path) -> None:
    done = replay(replays / "replay-planted", 1, tmp_path / "found", tmp_path)
    assert done.returncode == 2 and "has no seeds" in done.stderr


def test_a_coordinate_with_a_huge_exponent_breaks_nothing(replays: Path, tmp_path: Path) -> None:
    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds/map.osm").write_text(
        '<osm version="0.6"><node id="1" version="1" lat="40e76" lon="-77.9"><tag k="amenity" v="bench"/></node></osm>'
    )
    done = replay(replays / "replay-reader", 0, tmp_path / "found", tmp_path / "seeds")
    assert (done.returncode, done.stdout) == (0, "1 inputs\n"), done.stderr


def test_every_seed_of_the_reader_is_the_same_readable_map() -> None:
    """A seed that the reader refuses at its first byte would leave the reader untested. libosmium does not read
    `forms.osm`, which has a test for itself."""
    seeds = sorted(path for path in (SEEDS / "reader").iterdir() if path.name != "forms.osm")
    assert {"".join(path.suffixes[-2:]) for path in seeds} == {".osm", ".osm.gz", ".osm.bz2", ".osm.pbf"}
    for path in seeds:
        read = [(o.type_str(), o.id, dict(o.tags)) for o in osmium.FileProcessor(path)]
        assert read == [
            ("n", 1, {"amenity": "bench"}),
            ("n", 2, {}),
            ("n", 3, {}),
            ("w", 4, {"building": "yes"}),
            ("r", 5, {"type": "multipolygon"}),
        ], path


def test_the_seed_of_many_forms_is_read(tmp_path: Path) -> None:
    arguments = ["tile", "--input", str(SEEDS / "reader/forms.osm"), "--output", str(tmp_path / "tiles.h5")]
    assert native.run(arguments, "tile")["counts"]["dropped"] == {
        "node marked as deleted": 1,
        "older version of a node": 1,
        "way marked as deleted": 1,
    }


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("clang++") is None, reason="needs clang: tools/setup.sh --check-tools")
def test_the_fuzz_targets_build_and_find_nothing_in_ten_seconds() -> None:
    done = subprocess.run([ROOT / "tools/fuzz.sh", "10"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("number_of_executed_units") == 2
