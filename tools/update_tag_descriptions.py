"""Writes geojepa_cli/tags/descriptions.json from an unpacked `@openstreetmap/id-tagging-schema` (ISC licence).

Run it to move to another version of the schema. Neither the build nor a run needs npm; see
docs/adr/0006-tag-descriptions.md.

    npm pack @openstreetmap/id-tagging-schema@6.19.2 && tar xzf openstreetmap-id-tagging-schema-6.19.2.tgz
    python tools/update_tag_descriptions.py package
"""

from __future__ import annotations

import json
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parent.parent / "geojepa_cli" / "tags"
MOST_TERMS = 8  # of a preset: the first ones are the closest
# labels that mean nothing without the preset
GENERIC_LABELS = {"type", "types", "kind", "category", "details", "structure"}
FREE_FIELDS = {
    "text", "textarea", "localized", "identifier", "url", "tel", "email", "address", "wikidata", "wikipedia", "date",
    "colour",
}  # fmt: skip

Strings = dict[str, Any]


class Schema:
    """English presets and fields of the schema."""

    def __init__(self, package: Path) -> None:
        dist = package / "dist"
        english = json.loads((dist / "translations" / "en.json").read_text())["en"]["presets"]
        self.version: str = json.loads((package / "package.json").read_text())["version"]
        self.fields: dict[str, Strings] = json.loads((dist / "fields.json").read_text())
        self.presets: dict[str, Strings] = json.loads((dist / "presets.json").read_text())
        self.preset_strings: dict[str, Strings] = english["presets"]
        self._field_strings: dict[str, Strings] = english["fields"]

    def strings(self, field_id: str) -> Strings:
        """Returns the texts of a field, including those that it takes from another field."""
        own = dict(self._field_strings.get(field_id, {}))
        field = self.fields[field_id]
        for source in (field.get("label"), field.get("stringsCrossReference")):
            if isinstance(source, str) and source.startswith("{"):
                for name, value in self._field_strings.get(source.strip("{}"), {}).items():
                    own.setdefault(name, value)
        return own


def main(package: Path) -> None:
    schema = Schema(package)
    keys, tags, free = collect(schema)
    TARGET.joinpath("descriptions.json").write_text(as_lines(schema.version, keys, tags, free))
    shutil.copyfile(package / "LICENSE.md", TARGET / "LICENSE-id-tagging-schema.md")


def collect(schema: Schema) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """Returns labels by key, descriptions by `key=value`, and the keys whose values are free text."""
    labels: dict[str, list[str]] = defaultdict(list)
    texts: dict[str, list[str]] = defaultdict(list)
    for tag, name in preset_names(schema):
        key, _, value = tag.partition("=")
        if value == "*":
            labels[key].append(name)
        elif tag not in texts:  # the preset with the fewest tags comes first
            texts[tag].append(name)
    free: set[str] = set()
    fields = sorted(schema.fields, key=lambda name: (name.replace("/", ":") != schema.fields[name].get("key"), name))
    for field_id in fields:
        field = schema.fields[field_id]
        if "locationSet" in field:  # another country's wording
            continue
        if field["type"] in FREE_FIELDS:
            free.update(filter(None, [field.get("key"), *field.get("keys", [])]))
        for key, label in field_labels(schema, field_id):
            if label.lower() not in GENERIC_LABELS:
                labels[key].append(label)
        for tag, title in field_options(schema, field_id):
            texts[tag].append(title)
    keys = {key: names[0] for key, names in labels.items()}
    return keys, {tag: joined(parts) for tag, parts in texts.items()}, sorted(free)


def preset_names(schema: Schema) -> Iterator[tuple[str, str]]:
    """Yields `key=value` and name with terms, for every preset of one tag, or with one tag more than its parent."""
    for preset_id in sorted(schema.presets, key=lambda name: (len(schema.presets[name]["tags"]), name)):
        preset, strings = schema.presets[preset_id], schema.preset_strings.get(preset_id, {})
        if "name" not in strings or strings["name"].startswith("{") or "locationSet" in preset:
            continue
        parent = schema.presets.get(preset_id.rpartition("/")[0], {"tags": {}})["tags"]
        own = {key: value for key, value in preset["tags"].items() if parent.get(key) != value}
        if len(own) == 1 and (len(preset["tags"]) == 1 or "*" not in own.values()):
            key, value = own.popitem()
            terms = [term.strip() for term in strings.get("terms", "").split(",") if term.strip()]
            yield f"{key}={value}", joined([strings["name"], ", ".join(terms[:MOST_TERMS])])


def field_labels(schema: Schema, field_id: str) -> Iterator[tuple[str, str]]:
    """Yields the keys of a field, each with its label."""
    field, strings = schema.fields[field_id], schema.strings(field_id)
    label = strings.get("label", "")
    if not label or label.startswith("{"):
        return
    if field["type"] in ("multiCombo", "manyCombo", "radio", "structureRadio"):  # their options are keys
        prefix = field.get("key", "")
        for option, title in strings.get("options", {}).items():
            yield f"{prefix}{option}", f"{label}: {plain(title)}" if prefix else plain(title)
        return
    if "key" in field:
        yield field["key"], label
    for key in field.get("keys", []):
        yield key, about(field, strings, key)


def field_options(schema: Schema, field_id: str) -> Iterator[tuple[str, str]]:
    """Yields `key=value` and title of the options of a field."""
    field, strings = schema.fields[field_id], schema.strings(field_id)
    if field["type"] in ("multiCombo", "manyCombo", "radio", "structureRadio", "address"):
        return
    for key in field.get("keys") or [field.get("key")]:
        subject = about(field, strings, key)
        for value, title in strings.get("options", {}).items():
            bare = value in ("yes", "no") and plain(title).lower() == value  # tags/descriptions.py has texts for these
            if key and value != "undefined" and not bare:
                yield f"{key}={value}", f"{subject}: {plain(title)}" if subject else plain(title)


def about(field: Strings, strings: Strings, key: str) -> str:
    """Returns the text of a field about one of its keys, such as `Bicycles access`; empty if it is only `Type`."""
    label, kind = strings.get("label", ""), plain(strings.get("types", {}).get(key, ""))
    if field["type"] == "access":  # its label, "Allowed Access", contradicts "Prohibited"
        return f"{kind} access"
    parts = [part for part in (kind, label) if part and part.lower() not in GENERIC_LABELS and part[0] != "{"]
    return ": ".join(parts)


def plain(title: str | Strings) -> str:
    """Returns the title of an option, with its description if it has one."""
    if isinstance(title, str):
        return title
    return ", ".join(part for part in (title.get("title", ""), title.get("description", "")) if part)


def joined(parts: list[str]) -> str:
    """Joins parts to one line, without those that another part contains."""
    kept: list[str] = []
    for part in parts:
        text = " ".join(part.split())
        if text and not any(text.lower() in other.lower() for other in kept):
            kept.append(text)
    return "; ".join(kept)


def as_lines(version: str, keys: dict[str, str], tags: dict[str, str], free: list[str]) -> str:
    """Returns JSON with one entry per line, sorted, so that a new version of the schema gives a readable diff."""

    def block(entries: dict[str, str]) -> str:
        lines = (f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in sorted(entries.items()))
        return "{\n" + ",\n".join(lines) + "\n}"

    head = f'"schema": "@openstreetmap/id-tagging-schema {version}, ISC, (c) iD contributors"'
    return f'{{\n{head},\n"free": {json.dumps(free)},\n"keys": {block(keys)},\n"tags": {block(tags)}\n}}\n'


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
