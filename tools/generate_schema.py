"""Generates files from `native/*.yaml`.

    native/schema.yaml      -> native/src/columns/schema.hpp, geojepa_cli/store/schema.py, tables of docs/formats.md
    native/areas.yaml       -> native/src/read/area_table.hpp
    native/tag_filter.yaml  -> native/src/read/tag_filter_default.hpp

`--check` writes nothing and exits with 1 if a file differs. CI runs it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
BEGIN = "<!-- tables: generated from native/schema.yaml by `make schema` -->"
END = "<!-- end of tables -->"
CPP = {
    "u8": "std::uint8_t",
    "u16": "std::uint16_t",
    "u32": "std::uint32_t",
    "u64": "std::uint64_t",
    "i32": "std::int32_t",
    "i64": "std::int64_t",
    "f32": "float",
    "f64": "double",
}
BOTH = ["tiles", "processed"]
OFFSETS = ["u32", "u64"]
Column = dict[str, Any]


def columns(schema: dict[str, Any]) -> list[Column]:
    """Returns every column as a dict with table, name, dtypes (list), width, csr, unit, doc, in."""
    found: list[Column] = []
    for table, spec in schema["tables"].items():
        for name, column in spec["columns"].items():
            dtype = OFFSETS if "csr" in column else column["dtype"]
            found.append(
                {
                    "table": table,
                    "name": name,
                    "dtypes": dtype if isinstance(dtype, list) else [dtype],
                    "width": column.get("width", 1),
                    "csr": column.get("csr", ""),
                    "enum": column.get("enum", ""),
                    "unit": column.get("unit", ""),
                    "doc": column["doc"],
                    "in": column.get("in", spec.get("in", BOTH)),
                }
            )
    return found


def cpp_schema(schema: dict[str, Any]) -> str:
    lines = [
        "// Generated from native/schema.yaml by tools/generate_schema.py. Do not edit.",
        "#pragma once",
        "",
        "#include <cstddef>",
        "#include <cstdint>",
        "",
        "namespace geojepa::schema {",
        "",
        f"inline constexpr std::uint32_t version = {schema['version']};",
        f"inline constexpr std::size_t alignment = {schema['alignment']};",
        "",
        "/// A dataset of the file: its path, its element type and its values per row.",
        "template <typename T>",
        "struct Column {",
        "    using value_type = T;",
        "    const char* path;",
        "    std::size_t width;",
        "};",
        "",
    ]
    for enum, values in schema["enums"].items():
        name = "".join(word.capitalize() for word in enum.split("_"))
        members = ", ".join(f"{key} = {value}" for key, value in values.items())
        lines += [f"enum class {name} : std::uint8_t {{ {members} }};"]
    lines.append("")
    for column in columns(schema):
        path, base = f"{column['table']}/{column['name']}", f"{column['table']}_{column['name']}"
        if column["csr"] or column["dtypes"] == ["str"]:
            lines.append(f'inline constexpr Column<std::uint64_t> {base}{{"{path}", 1}};')
            lines.append(f'inline constexpr Column<std::uint32_t> {base}_u32{{"{path}", 1}};')
        if column["csr"]:
            continue
        if column["dtypes"] == ["str"]:
            lines.append(f'inline constexpr Column<std::uint8_t> {base}_utf8{{"{path}_utf8", 1}};')
            continue
        for dtype in column["dtypes"]:
            suffix = f"_{dtype}" if len(column["dtypes"]) > 1 else ""
            lines.append(f'inline constexpr Column<{CPP[dtype]}> {base}{suffix}{{"{path}", {column["width"]}}};')
    lines += ["", "}  // namespace geojepa::schema", ""]
    return "\n".join(lines)


def python_schema(schema: dict[str, Any]) -> str:
    lines = [
        '"""The layout of `tiles.h5` and `processed.h5`.',
        "",
        "Generated from native/schema.yaml by tools/generate_schema.py. Do not edit.",
        '"""',
        "",
        "from __future__ import annotations",
        "",
        "from typing import NamedTuple",
        "",
        f"VERSION = {schema['version']}",
        f"ALIGNMENT = {schema['alignment']}",
        "",
    ]
    for enum, values in schema["enums"].items():
        members = ", ".join(f'"{key}": {value}' for key, value in values.items())
        lines.append(f"{enum.upper()} = {{{members}}}")
    lines += [
        "",
        "",
        "class Column(NamedTuple):",
        '    """A dataset: element types (a file has one of them), values per row, child table, and files."""',
        "",
        "    dtypes: tuple[str, ...]",
        "    width: int",
        "    csr: str",
        "    files: tuple[str, ...]",
        "",
        "",
        "COLUMNS: dict[str, Column] = {",
    ]

    def entry(path: str, dtypes: list[str], width: int, csr: str, files: list[str]) -> str:
        names = ", ".join(f'"{d}"' for d in dtypes) + ("," if len(dtypes) == 1 else "")
        where = ", ".join(f'"{f}"' for f in files) + ("," if len(files) == 1 else "")
        return f'    "{path}": Column(({names}), {width}, "{csr}", ({where})),'

    for column in columns(schema):
        path = f"{column['table']}/{column['name']}"
        if column["dtypes"] == ["str"]:
            lines.append(entry(path, OFFSETS, 1, f"{path}_utf8", column["in"]))
            lines.append(entry(f"{path}_utf8", ["u8"], 1, "", column["in"]))
        else:
            lines.append(entry(path, column["dtypes"], column["width"], column["csr"], column["in"]))
    lines += ["}", ""]
    return "\n".join(lines)


def markdown_tables(schema: dict[str, Any]) -> str:
    lines: list[str] = [f"Layout version {schema['version']}. File attributes:", ""]
    lines += [f"- `{name}`: {doc}" for name, doc in schema["attributes"].items()]
    for table, spec in schema["tables"].items():
        only = f" (only in `{spec['in'][0]}.h5`)" if "in" in spec else ""
        lines += ["", f"### `{table}/`{only}", "", f"A row is {spec['doc']}.", ""]
        lines += ["| column | type | per row | unit | meaning |", "| --- | --- | --- | --- | --- |"]
        for column in columns(schema):
            if column["table"] != table:
                continue
            dtype = " or ".join(column["dtypes"])
            meaning = column["doc"]
            if column["csr"]:
                meaning = f"{meaning}: rows `[i] .. [i+1]` of `{column['csr']}/`"
            if column["dtypes"] == ["str"]:
                dtype, meaning = "str", f"{meaning}: bytes `[i] .. [i+1]` of `{column['name']}_utf8` (u8)"
            if column["enum"]:
                values = ", ".join(f"{value} {key}" for key, value in schema["enums"][column["enum"]].items())
                meaning += f" ({values})"
            if "in" not in spec and len(column["in"]) == 1:
                meaning += f"; only in `{column['in'][0]}.h5`"
            unit = column["unit"] or "—"
            rows = "offsets" if column["csr"] or column["dtypes"] == ["str"] else str(column["width"])
            lines.append(f"| `{column['name']}` | {dtype} | {rows} | {unit} | {meaning} |")
    return "\n".join(lines) + "\n"


def cpp_string(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def cpp_areas(table: dict[str, Any]) -> str:
    lines = [
        "// Generated from native/areas.yaml by tools/generate_schema.py. Do not edit.",
        "#pragma once",
        "",
        "#include <string_view>",
        "#include <vector>",
        "",
        "namespace geojepa {",
        "",
        "/// A closed way with this key is an area: for any value, the listed ones, or all but the listed ones.",
        "struct AreaRule {",
        "    enum class Match { any, only, except };",
        "    std::string_view key;",
        "    Match match;",
        "    std::vector<std::string_view> values;",
        "};",
        "",
        "inline const std::vector<AreaRule>& area_table() {",
        "    static const std::vector<AreaRule> table = {",
    ]
    for key, rule in table["keys"].items():
        match = "any" if rule == "any" else next(iter(rule))
        values = [] if rule == "any" else rule[match]
        listed = ", ".join(cpp_string(value) for value in values)
        lines.append(f"        {{{cpp_string(key)}, AreaRule::Match::{match}, {{{listed}}}}},")
    lines += ["    };", "    return table;", "}", "", "}  // namespace geojepa", ""]
    return "\n".join(lines)


def cpp_tag_filter(table: dict[str, Any]) -> str:
    lines = [
        "// Generated from native/tag_filter.yaml by tools/generate_schema.py. Do not edit.",
        "#pragma once",
        "",
        "#include <array>",
        "#include <string_view>",
        "",
        "namespace geojepa {",
        "",
        "/// Keys that are dropped by default; a trailing `*` matches any rest.",
        f"constexpr std::array<std::string_view, {len(table['drop'])}> default_dropped_keys{{",
    ]
    lines += [f"    {cpp_string(key)}," for key in table["drop"]]
    lines += ["};", "", "}  // namespace geojepa", ""]
    return "\n".join(lines)


def outputs() -> dict[Path, str]:
    """Returns every generated file with its text."""
    schema = yaml.safe_load((ROOT / "native/schema.yaml").read_text())
    areas = yaml.safe_load((ROOT / "native/areas.yaml").read_text())
    tag_filter = yaml.safe_load((ROOT / "native/tag_filter.yaml").read_text())
    formats = ROOT / "docs/formats.md"
    text = formats.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return {
        ROOT / "native/src/columns/schema.hpp": cpp_schema(schema),
        ROOT / "native/src/read/area_table.hpp": cpp_areas(areas),
        ROOT / "native/src/read/tag_filter_default.hpp": cpp_tag_filter(tag_filter),
        ROOT / "geojepa_cli/store/schema.py": python_schema(schema),
        formats: f"{before}{BEGIN}\n\n{markdown_tables(schema)}\n{END}{after}",
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = [path for path, text in outputs().items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if check:
            print(f"{path.relative_to(ROOT)} differs from native/*.yaml; run `make schema`", file=sys.stderr)
        else:
            path.write_text(outputs()[path])
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
