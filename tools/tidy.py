"""Runs clang-tidy on native/src, with the sources of each folder joined into one file.

clang-tidy spends most of its time on the headers of libosmium and of the standard library. With joined sources they
are parsed 5 times instead of once per source file. Including the sources would not do: the static analyzer skips
included files.

    tools/tidy.py [--analyze]     --analyze: the static analyzer too, which takes three times as long

Needs build/native/compile_commands.json. Exits with 1 if clang-tidy reports anything.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from bisect import bisect_right
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "native/src"
JOINED = ROOT / "build/tidy"


def join_sources() -> dict[Path, list[tuple[int, Path]]]:
    """Writes one source file per folder of native/src, and their compile commands.

    Returns, per joined file, the first line and the path of each source in it.
    """
    database = json.loads((ROOT / "build/native/compile_commands.json").read_text())
    entry = next(entry for entry in database if Path(entry["file"]).is_relative_to(SOURCE / "clip"))
    folders: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(SOURCE.rglob("*.cpp")):
        folders[path.parent.name].append(path)
    JOINED.mkdir(parents=True, exist_ok=True)
    starts: dict[Path, list[tuple[int, Path]]] = {}
    commands = []
    for folder, paths in folders.items():
        joined = JOINED / f"{folder}.cpp"
        lines: list[str] = []
        starts[joined] = []
        for path in paths:
            starts[joined].append((len(lines) + 1, path))
            included = {line for line in lines if line.startswith("#include")}
            # An include of an earlier source would be reported as a duplicate.
            lines += ["" if line in included else line for line in path.read_text().splitlines()]
        joined.write_text("\n".join(lines) + "\n")
        words = [str(joined) if word == entry["file"] else word for word in shlex.split(entry["command"])]
        commands.append({"directory": str(JOINED), "file": str(joined), "arguments": words})
    (JOINED / "compile_commands.json").write_text(json.dumps(commands, indent=1))
    return starts


def run_tidy(joined: Path, starts: list[tuple[int, Path]], analyze: bool) -> str:
    """Returns what clang-tidy reports of a joined file, with the lines of the sources; empty if it reports nothing."""
    checks = "" if analyze else "-clang-analyzer-*"
    command = ["clang-tidy", "--quiet", f"--config-file={ROOT / 'native/.clang-tidy'}", f"--checks={checks}"]
    run = subprocess.run([*command, "-p", str(JOINED), str(joined)], capture_output=True, text=True, check=False)

    def source_line(match: re.Match[str]) -> str:
        line = int(match[1])
        first, path = starts[bisect_right(starts, line, key=lambda start: start[0]) - 1]
        return f"{path.relative_to(ROOT)}:{line - first + 1}:"

    return (
        "" if run.returncode == 0 else re.sub(rf"{re.escape(str(joined))}:(\d+):", source_line, run.stdout) + run.stderr
    )


def main() -> int:
    analyze = "--analyze" in sys.argv[1:]
    starts = join_sources()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        reports = list(pool.map(run_tidy, starts.keys(), starts.values(), repeat(analyze)))
    for report in filter(None, reports):
        print(report, file=sys.stderr)
    return 1 if any(reports) else 0


if __name__ == "__main__":
    sys.exit(main())
