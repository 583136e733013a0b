"""Short runs of the fuzz targets under ASan and UBSan: by a driver of their own in every run, under libFuzzer in slow
ones. The driver is shown to notice mistakes that are planted on purpose."""

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


@pytest.fixture(scope="module")
def replays() -> Path:
    """The folder of the replay binaries; compiled in the first run only."""
    for command in (
        [
            "cmake",
            "-S",
            ROOT / "native",
            "-B",
            BUILD,
            "-G",
            "Ninja",
            "-DGEOJEPA_REPLAY=ON",
            "-DGEOJEPA_BUILD_TESTS=OFF",
        ],
        ["cmake", "--build", BUILD, "--target", "replays"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return BUILD


def replay(
    binary: Path, inputs: int, found: Path, *paths: Path, seed: int = 1, planted: str = ""
) -> subprocess.CompletedProcess[str]:
    """Runs `binary` on the seeds in `paths` and on `inputs` mutations of them; what fails is kept in `found`."""
    environment = os.environ | {
        # Stacks of allocations cost half of the clipper's time; LeakSanitizer does not run in every container.
        "ASAN_OPTIONS": "malloc_context_size=2:max_allocation_size_mb=4096:detect_leaks=0",
        "PLANTED": planted,
    }
    return subprocess.run(
        [binary, str(inputs), str(seed), found, *paths], capture_output=True, text=True, check=False, env=environment
    )


@pytest.mark.parametrize(("target", "inputs"), [("reader", 2500), ("clipper", 2000)])
def test_mutated_seeds_break_neither_reader_nor_clipper(replays: Path, target: str, inputs: int) -> None:
    seeds = sorted((SEEDS / target).iterdir())
    found = ROOT / f"build/replay/found-{target}"
    done = replay(replays / f"replay-{target}", inputs, found, SEEDS / target)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{len(seeds) + inputs} inputs\n"


@pytest.fixture
def planted_seed(tmp_path: Path) -> Path:
    path = tmp_path / "seed"
    path.write_bytes(b"........." + bytes(range(40)))
    return path


@pytest.mark.parametrize(
    ("planted", "message"),
    [
        ("overread", "heap-buffer-overflow"),
        ("overflow", "signed integer overflow"),
        ("throw", "thrown on purpose"),
        ("abort", "ended by signal 6"),
    ],
)
def test_a_replay_notices_a_planted_mistake_and_keeps_the_input(
    replays: Path, tmp_path: Path, planted_seed: Path, planted: str, message: str
) -> None:
    binary, found = replays / "replay-planted", tmp_path / "found"
    alone = replay(binary, 0, found, planted_seed, planted=planted)
    assert (alone.returncode, alone.stdout) == (0, "1 inputs\n"), alone.stderr
    done = replay(binary, 1000, found, planted_seed, planted=planted)
    assert done.returncode == 1
    assert message in done.stderr
    assert str(found) in done.stderr
    assert found.read_bytes()[8:9] != b"."
    again = replay(binary, 0, tmp_path / "again", found, planted=planted)
    assert again.returncode == 1
    assert message in again.stderr


def listed(binary: Path, seeds: Path, found: Path, seed: int) -> list[bytes]:
    done = replay(binary, 500, found, seeds, seed=seed, planted="list")
    assert done.returncode == 0, done.stderr
    return [bytes.fromhex(line) for line in done.stdout.splitlines()[:-1]]


def test_mutations_follow_from_the_seed_and_differ_in_bits_and_length(
    replays: Path, tmp_path: Path, planted_seed: Path
) -> None:
    binary, found = replays / "replay-planted", tmp_path / "found"
    first = listed(binary, planted_seed, found, 1)
    assert first == listed(binary, planted_seed, found, 1)
    assert first[1:] != listed(binary, planted_seed, found, 2)[1:]
    original = planted_seed.read_bytes()
    assert first[0] == original
    assert len(set(first)) > 400
    lengths = [len(one) for one in first]
    assert min(lengths) < len(original) < max(lengths) <= 16384
    same_length = [one for one in first[1:] if len(one) == len(original)]
    assert any(sum((a ^ b).bit_count() for a, b in zip(one, original, strict=True)) == 1 for one in same_length)


def test_a_replay_without_a_usable_seed_is_an_error(replays: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    for name in ("absent", "empty", "folder"):
        done = replay(replays / "replay-planted", 1, tmp_path / "found", tmp_path / name)
        assert done.returncode == 2
        assert "seed" in done.stderr


def test_a_coordinate_with_a_huge_exponent_breaks_nothing(replays: Path, tmp_path: Path) -> None:
    (tmp_path / "map.osm").write_text(
        '<osm version="0.6"><node id="1" version="1" lat="40e76" lon="-77.9"><tag k="amenity" v="bench"/></node></osm>'
    )
    done = replay(replays / "replay-reader", 0, tmp_path / "found", tmp_path / "map.osm")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1 inputs\n"


def test_every_seed_of_the_reader_is_the_same_readable_map() -> None:
    """A seed that is refused at its first byte would leave the reader untested. `forms.osm` is tested for itself: it
    has forms that libosmium does not read."""
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
