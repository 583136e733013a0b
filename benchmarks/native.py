"""Benchmark of the native binary, compared with `osmium export` on the same extract.

    python benchmarks/native.py EXTRACT...                       each file separately
    python benchmarks/native.py EXTRACT... --merge --copies 10   all files and shifted copies as one

`tile`, `process` and `osmium export -f geojsonseq` (every geometry as text, including multipolygons) run alternately,
each as a complete process. The export stops on unsorted files, so it includes the time of sorting such a file first.
`--merge` sorts the files, shifts their ids so that each is unique, and merges them. Copies are shifted on the globe.

Prints one JSON object: medians in seconds, ratios to the export, and the peak memory of each process: resident pages,
and the private pages among them (which `--memory` limits), sampled every 10 ms. Exits with 1 if the peer did not
finish.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MIB = 1024 * 1024
SAMPLE_S = 0.01
TOOLS_HINT = "hint: tools/setup.sh --check-tools"


@dataclass
class Run:
    """Measurements of one process."""

    seconds: float
    cpu_s: float
    peak_bytes: int
    private_bytes: int


def main() -> None:
    options = _options()
    if shutil.which("osmium") is None:
        sys.exit(f"error: the peer `osmium` (Debian's osmium-tool) is not installed\n\n{TOOLS_HINT}")
    missing = [path for path in options.files if not path.is_file()]
    if missing:
        sys.exit(f"error: `{missing[0]}` is not a file\n\nhint: python benchmarks/native.py EXTRACT.osm.pbf")
    binary = built(options, "geojepa-tiler")
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        files = [merged(options, Path(folder))] if options.merge else options.files
        results = [measure(options, binary, path, Path(folder)) for path in files]
    version = run([str(binary), "--version"], capture=True)[1]
    peer = run(["osmium", "--version"], capture=True)[1].splitlines()[0]
    print(
        json.dumps(
            {
                "binary": json.loads(version),
                "peer": peer,
                "processors": os.cpu_count(),
                "runs": options.runs,
                "threads": options.threads,
                "memory": options.memory,
                "files": results,
            },
            indent=2,
        )
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, help="extracts, sorted or not")
    parser.add_argument("--runs", type=int, default=5, help="runs of each command; medians are printed")
    parser.add_argument("--merge", action="store_true", help="merge all files into one")
    parser.add_argument("--copies", type=int, default=1, help="with --merge: shifted copies in that file, 1 to 64")
    parser.add_argument("--threads", type=int, default=0, help="of the binary; 0: one per processor")
    parser.add_argument("--memory", default="512M", help="given to `tile`")
    parser.add_argument("--no-peer", action="store_true", help="skip the export, to measure the growth of the binary")
    parser.add_argument(
        "--with-python", action="store_true", help="also run complete `geojepa tile` and `geojepa process`"
    )
    parser.add_argument("--build", type=Path, default=ROOT / "build/native", help="folder with the built binaries")
    parser.add_argument("--scratch", type=Path, help="folder for output, a few times the size of the input")
    return parser.parse_args()


def merged(options: argparse.Namespace, folder: Path) -> Path:
    """Merges all files into a sorted one with unique ids."""
    output = folder / f"merged-{options.copies}.osm.pbf"
    multiply = built(options, "geojepa-multiply")
    run([str(multiply), str(options.copies), str(output), *map(str, options.files)])
    return output


def built(options: argparse.Namespace, name: str) -> Path:
    """Returns the path of a built binary. Exits if it does not exist."""
    path: Path = options.build / name
    if not path.is_file():
        sys.exit(f"error: `{path}` is not built\n\nhint: tools/setup.sh")
    return path


def measure(options: argparse.Namespace, binary: Path, path: Path, folder: Path) -> dict[str, Any]:
    """Runs the commands alternately and returns their medians and ratios."""
    tiles, processed, text, sorted_file = (folder / name for name in ("t.h5", "p.h5", "e.geojsonseq", "s.osm.pbf"))
    in_order = run(["osmium", "fileinfo", "-e", "-g", "data.objects_ordered", str(path)], capture=True)[1] == "yes\n"
    threads = ["--threads", str(options.threads)]
    tile = [str(binary), "tile", "--input", str(path), "--output", str(tiles), "--memory", options.memory, *threads]
    process = [str(binary), "process", "--input", str(tiles), "--output", str(processed), *threads]
    export = ["osmium", "export", "-f", "geojsonseq", "--overwrite", "-o", str(text)]
    commands = {"tile": [tile], "process": [process]}
    if not options.no_peer:
        sort = [] if in_order else [["osmium", "sort", "--overwrite", "-o", str(sorted_file), str(path)]]
        commands["export"] = [*sort, [*export, str(path if in_order else sorted_file)]]
    runs: dict[str, list[list[Run]]] = {name: [] for name in commands}
    for _ in range(options.runs):
        for name, chain in commands.items():
            runs[name].append([run(command)[0] for command in chain])
    result: dict[str, Any] = {
        "file": path.name,
        "bytes": path.stat().st_size,
        "sorted": in_order,
        "output_bytes": {"tile": tiles.stat().st_size, "process": processed.stat().st_size},
    }
    result |= {name: figures(some) for name, some in runs.items()}
    if not options.no_peer:
        result["export"] |= proof_of_finish(text)
        tile_s, process_s, export_s = (result[name]["seconds"] for name in ("tile", "process", "export"))
        result["ratio_tile"] = round(tile_s / export_s, 3)
        result["ratio_tile_and_process"] = round((tile_s + process_s) / export_s, 3)
    if options.with_python:
        result["python"] = with_python(options, path, folder / "workspace")
    return result


def with_python(options: argparse.Namespace, path: Path, workspace: Path) -> dict[str, Any]:
    """Measures both stages as `geojepa` commands, including checksums, manifests and publishing."""
    geojepa = [sys.executable, "-P", "-m", "geojepa_cli", "--workspace", str(workspace)]
    run([*geojepa, "fetch", "--pbf", str(path), "--name", "benchmark"])
    stages: dict[str, list[list[Run]]] = {"tile": [], "process": []}
    for _ in range(options.runs):
        for kind in ("tiles", "processed"):
            shutil.rmtree(workspace / kind, ignore_errors=True)
        stages["tile"].append([run([*geojepa, "tile", "--memory", options.memory])[0]])
        stages["process"].append([run([*geojepa, "process", "--text-encoder", "none"])[0]])
    shutil.rmtree(workspace)
    found = {name: figures(some) for name, some in stages.items()}
    for stage in found.values():
        del stage["peak_private_mib"]  # of the interpreter, not of the binary that it starts
    return found


def figures(runs: list[list[Run]]) -> dict[str, Any]:
    """Returns medians over runs. The commands of a run are sequential, so times are added and peaks are not."""
    seconds = [sum(one.seconds for one in chain) for chain in runs]
    return {
        "seconds": round(statistics.median(seconds), 3),
        "all_seconds": [round(value, 3) for value in seconds],
        "cpu_s": round(statistics.median(sum(one.cpu_s for one in chain) for chain in runs), 3),
        "peak_mib": round(max(one.peak_bytes for chain in runs for one in chain) / MIB, 1),
        "peak_private_mib": round(max(one.private_bytes for chain in runs for one in chain) / MIB, 1),
    }


def proof_of_finish(path: Path) -> dict[str, Any]:
    """Returns the number of features that the export wrote. Exits if there are none, or the last line is incomplete."""
    with path.open("rb") as file:
        features = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(MIB), b""))
        file.seek(-1, os.SEEK_END)
        whole = file.read(1) == b"\n"
    if not features or not whole:
        sys.exit(f"error: the peer did not finish: `{path.name}` has {features} features")
    return {"features": features, "output_bytes": path.stat().st_size}


def run(command: list[str], capture: bool = False) -> tuple[Run, str]:
    """Runs a command and returns its measurements, and its stdout if requested.

    Exits if the command fails: the time of an unfinished run means nothing.
    """
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complaints:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=said, stderr=complaints)
        private = 0
        while True:
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            private = max(private, private_bytes(process.pid))
            time.sleep(SAMPLE_S)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        complaints.seek(0)
        if process.returncode != 0:
            text = complaints.read().decode(errors="replace").strip()
            sys.exit(f"error: `{' '.join(command)}` ended with {process.returncode}\n{text}")
        output = said.read().decode() if capture else ""
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, private), output


def private_bytes(pid: int) -> int:
    """Returns the resident anonymous memory: pages that no file backs."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


if __name__ == "__main__":
    main()
