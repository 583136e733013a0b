"""Every citation of the code and the design records has an entry in docs/references.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REFERENCES = ROOT / "docs/references.md"

_NAME = r"[A-ZÀ-ÞŠ][\w'’–-]+"
_YEAR = r"(?:19|20)\d\d"
_WITH_COAUTHORS = rf"({_NAME}(?: et al\.?| and {_NAME})),? \(?({_YEAR})\b"
_ALONE = rf"(?:\(|\bafter )({_NAME}),? \(?({_YEAR})\b|(?<!\band )\b({_NAME}) \(({_YEAR})\)"
_PART = r"(?:(?:chapter|section|table|appendix) )?[0-9A-D](?:[0-9.]*[0-9])?\b"
_THESIS = rf"\b[Tt]hesis(?:'s)?,? \(?({_PART}(?:[,;] {_PART})*)"


def citations(text: str) -> set[str]:
    """Returns the papers that a text cites by author and year, as short names."""
    text = _flat(text)
    found = [match.groups() for match in re.finditer(_WITH_COAUTHORS, text)]
    found += [tuple(part for part in match.groups() if part) for match in re.finditer(_ALONE, text)]
    return {f"{authors.rstrip('.').replace('et al', 'et al.')} {year}" for authors, year in found}


def thesis_parts(text: str) -> set[str]:
    """Returns the chapters, sections, tables and appendices of the thesis that a text cites."""
    parts = [part for match in re.finditer(_THESIS, _flat(text)) for part in re.split("[,;] ", match[1])]
    return {re.sub("^(chapter|section) ", "", part) for part in parts}


def _flat(text: str) -> str:
    """Joins lines, without the marks of comments at their beginning."""
    return " ".join(re.sub(r"^\s*(?:///?<?|#+)?\s*", "", line) for line in text.splitlines())


def _entries() -> list[list[str]]:
    rows = [line.strip("| ").split(" | ") for line in REFERENCES.read_text().splitlines() if line.startswith("| ")]
    return [row for row in rows if row[0] not in ("short name", "part", "---")]


def _listed_papers() -> set[str]:
    return {row[0].rpartition(", ")[2] for row in _entries()}


def _sources() -> list[Path]:
    kinds = (("geojepa_cli", "*.py"), ("geojepa_cli", "*.yaml"), ("native/src", "*.?pp"), ("tasks", "*.yaml"))
    code = [path for folder, pattern in kinds for path in (ROOT / folder).rglob(pattern)]
    return [*code, *(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]


def test_every_cited_paper_has_an_entry() -> None:
    listed = _listed_papers()
    found = {path: citations(path.read_text()) for path in _sources() if path != REFERENCES}
    assert "Bardes et al. 2022" in set().union(*found.values())
    assert not [f"{path.relative_to(ROOT)}: {name}" for path, names in found.items() for name in names - listed]


def test_every_cited_part_of_the_thesis_has_an_entry() -> None:
    listed = {row[0] for row in _entries()}
    found = {path: thesis_parts(path.read_text()) for path in _sources() if path != REFERENCES}
    assert "7.6.8" in set().union(*found.values())
    assert not [f"{path.relative_to(ROOT)}: {part}" for path, parts in found.items() for part in parts - listed]


def test_every_entry_names_places_that_exist() -> None:
    for row in _entries():
        assert not [place for place in re.findall("`([^`]+)`", row[-1]) if not (ROOT / place).exists()], row[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(VICReg, Bardes et al. 2022, eq. 1)", {"Bardes et al. 2022"}),
        ("the paper of Garrido et\n    al. 2023, equation 1", {"Garrido et al. 2023"}),
        ("/// in the manner of Liang\n/// and Barsky (1984).", {"Liang and Barsky 1984"}),
        ("rotating calipers (Toussaint 1983)", {"Toussaint 1983"}),
        ("edges get a vertex back (after Saalfeld 1999,", {"Saalfeld 1999"}),
        ("as Saalfeld (1999) and Hägele et al. (2024) do", {"Saalfeld 1999", "Hägele et al. 2024"}),
        ("Reimers and Gurevych, 2019", {"Reimers and Gurevych 2019"}),
        ("an index of Geofabrik from Nov 2023", set()),
    ],
)
def test_citations_by_author_and_year_are_found(text: str, expected: set[str]) -> None:
    assert citations(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(thesis 7.6.8), kind masks", {"7.6.8"}),
        ("Defaults: thesis 7.6.8, table 14.", {"7.6.8", "table 14"}),
        ("GeoJEPA-T (thesis 7.6, table 34).", {"7.6", "table 34"}),
        ("thesis, appendix C, table 36", {"appendix C", "table 36"}),
        ("thesis, chapter 6", {"6"}),
        ("GeoJEPA-T at the thesis's size (table 34)", set()),
        ("(thesis: 5 to 1250)", set()),
        ("the thesis splits by group", set()),
    ],
)
def test_parts_of_the_thesis_are_found(text: str, expected: set[str]) -> None:
    assert thesis_parts(text) == expected
