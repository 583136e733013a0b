"""Finds the font files that a configuration selects, and reads the outlines of the digits from them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from geojepa_cli import hints
from geojepa_cli.config.geometry import GlyphConfig
from geojepa_cli.errors import NotFoundError
from geojepa_cli.glyphs.outlines import Outline, read_outlines

SUFFIXES = (".otf", ".ttf")

Styles = list[list[list[Outline]]]  # outlines of each style (file), digit and tolerance


class FontFiles(NamedTuple):
    """Font files to train on and to test on: dicts from Debian package to its files, sorted by file name."""

    train: dict[str, list[Path]]
    test: dict[str, list[Path]]

    def digest(self) -> str:
        """Returns one SHA-256 checksum for all font files.

        It changes if the content, name or package of a file changes, or if a file is moved from training to testing.
        """
        total = hashlib.sha256()
        for group, packages in zip(("train", "test"), self, strict=True):
            for package, paths in sorted(packages.items()):
                for path in paths:
                    total.update(
                        f"{group} {package} {path.name} ".encode() + hashlib.sha256(path.read_bytes()).digest()
                    )
        return total.hexdigest()


class Families(NamedTuple):
    """Digit outlines of all font families to train on and to test on.

    Font files that lack a digit, or in which the outlines of a digit cross, are left out.
    """

    train: list[Styles]
    test: list[Styles]
    counts: dict[str, int]  # numbers of used families, used styles, and left-out files


def find_fonts(config: GlyphConfig) -> FontFiles:
    """Finds the font files of all Debian packages that a configuration names.

    Raises:
        NotFoundError: the folder does not exist, or contains no font file of one of the packages. The hint is the
            default folder or, if fonts are missing in the default folder, the command that installs them.
    """
    folder, installed = Path(config.folder), str(GlyphConfig.model_fields["folder"].default)
    default = hints.again(set={"glyphs.folder": installed}).noting("or another folder that contains the font files")
    if folder != Path(installed) and not folder.is_dir():
        raise NotFoundError(f"the folder `{folder}` in the setting `glyphs.folder` does not exist", default)
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    unique = {path.name: path for path in reversed(files)}  # some packages install a file twice, as a link
    groups = [_match(patterns, unique) for patterns in (config.train_fonts, config.test_fonts)]
    absent = sorted(package for group in groups for package, paths in group.items() if not paths)
    if absent:
        names = ", ".join(f"`{package}`" for package in absent[:3]) + (", …" if len(absent) > 3 else "")
        message = f"`{folder}` has no fonts of the Debian packages {names} (missing: {len(absent)})"
        if folder != Path(installed):  # apt-get does not install to this folder
            raise NotFoundError(f"{message}; check the setting `glyphs.folder`", default)
        other = hints.again(set={"glyphs.folder": "DIR"})
        raise NotFoundError(message, hints.shell("sudo", "apt-get", "install", *absent).or_else(other))
    return FontFiles(*groups)


def read_families(files: FontFiles) -> Families:
    """Reads the outlines of the digits from all font files.

    Raises:
        DataError: a file is not a font.
        NotFoundError: no font for training, or no font for testing, has usable outlines of all digits.
    """
    families: list[list[Styles]] = []
    styles = left_out = 0
    for packages in files:
        group = []
        for paths in packages.values():
            read = [read_outlines(path) for path in paths]
            usable = [outlines for outlines in read if outlines is not None]
            styles, left_out = styles + len(usable), left_out + len(read) - len(usable)
            group += [usable] if usable else []
        families.append(group)
    if not all(families):
        missing = "train_fonts" if not families[0] else "test_fonts"
        raise NotFoundError(
            f"no font in the setting `glyphs.{missing}` has outlines of all digits",
            hints.again(config="geometry.yaml"),
        )
    counts = {"train_families": len(families[0]), "test_families": len(families[1])}
    return Families(families[0], families[1], {**counts, "styles": styles, "fonts_left_out": left_out})


def _match(patterns: Mapping[str, str], files: Mapping[str, Path]) -> dict[str, list[Path]]:
    return {
        package: [path for name, path in sorted(files.items()) if fnmatchcase(name, pattern)]
        for package, pattern in sorted(patterns.items())
    }
