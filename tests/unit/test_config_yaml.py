"""Hostile YAML: refused as a usage error, without a hang, in configurations, tasks and `--set`."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import yaml

from geojepa_cli.config import yaml as bounded
from geojepa_cli.config.load import load_config
from geojepa_cli.config.yaml import MAX_BYTES, MAX_DEPTH, MAX_NODES, parse_yaml
from geojepa_cli.errors import UsageError
from geojepa_cli.tasks.spec import load_task


def _aliases(levels: int, width: int) -> str:
    lines = ["m0: &m0 [x]"]
    lines += [f"m{i}: &m{i} [{', '.join([f'*m{i - 1}'] * width)}]" for i in range(1, levels)]
    return "\n".join(lines)


def _merges(levels: int, width: int) -> str:
    lines = ["m0: &m0 {a: 1}"]
    lines += [f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * width)}]}}" for i in range(1, levels)]
    return "\n".join(lines)


BOMBS = {
    "laughs by aliases": (_aliases(12, 9), f"more than {MAX_NODES:,} values"),
    "merge keys": (_merges(9, 20), "merge keys"),
    "one merge key": ("a: &a {x: 1}\nb: {<<: *a}", "merge keys"),
    "mappings of aliases": ("a: &a {x: 1}\n" + "\n".join(f"k{i}: {{a: *a, b: *a}}" for i in range(9000)), "values"),
    "an alias of itself": ("a: &a [*a]", "alias"),
    "an alias of its mapping": ("a: &a {b: *a}", "alias"),
    "a thousand brackets": ("[" * 1000, f"more than {MAX_DEPTH} levels"),
    "brackets to the limit of size": ("[" * MAX_BYTES, f"more than {MAX_DEPTH} levels"),
    "braces": ("{a: " * 1000, f"more than {MAX_DEPTH} levels"),
    "nested dashes": ("- " * 5000 + "x", f"more than {MAX_DEPTH} levels"),
    "nested keys": ("\n".join(" " * i + "k:" for i in range(300)), f"more than {MAX_DEPTH} levels"),
    "complex keys": ("? " * 1000 + "x", "levels"),
    "many values": ("[" + "1," * 100_000 + "]", f"more than {MAX_NODES:,} values"),
    "many keys": ("\n".join(f"k{i}: 1" for i in range(20_000)), f"more than {MAX_NODES:,} values"),
    "one megabyte": ("a: " + "x" * 1_000_000, "expected at most"),
    "a huge integer": ("train: {max_steps: " + "9" * 5000 + "}", "a number of 5,000 characters"),
    "a huge hexadecimal integer": ("train: {max_steps: 0x" + "f" * 100_000 + "}", "a number of 100,002 characters"),
    "a huge binary integer": ("train: {max_steps: 0b" + "1" * 100_000 + "}", "a number of"),
    "a huge sexagesimal": ("train: {max_steps: " + ":".join(["59"] * 30_000) + "}", "a number of"),
    "a huge sexagesimal fraction": ("train: {lr: " + ":".join(["59"] * 30_000) + ".5}", "a number of"),
    "a list as a key": ("? [1, 2]\n: 3", "a key that is not text"),
    "a date that does not exist": ("a: 2001-99-99", "month must be in"),
    "base 64 that is not": ("a: !!binary x", ""),
    "a Python object": ("a: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
    "two documents": ("a: 1\n---\nb: 1", "a single document"),
    "an unknown anchor": ("a: *b", "undefined alias"),
    "a control character": ("a: \x00", ""),
}


MALFORMED = ("two documents", "an unknown anchor", "a control character")  # the others are YAML that is refused


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_with_its_reason(bomb: str, tmp_path: Path) -> None:
    text, reason = BOMBS[bomb]
    with pytest.raises(yaml.YAMLError) as caught:
        parse_yaml(text)
    assert reason in str(caught.value)
    file = tmp_path / "bomb.yaml"
    file.write_text(text)
    for load in (load_config, lambda path: load_task(Path(path))):
        with pytest.raises(UsageError, match=r"bomb\.yaml") as refused:
            load(str(file))
        assert ("is not YAML" in refused.value.message) == (bomb in MALFORMED)
    with pytest.raises(UsageError):
        load_config("tiny.yaml", [f"train.max_steps={text}"])


def test_a_bomb_composes_a_bounded_number_of_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    composed = 0
    compose = bounded.BoundedLoader.compose_node

    def count(self: bounded.BoundedLoader, parent: object, index: object) -> object:
        nonlocal composed
        composed += 1
        return compose(self, parent, index)  # type: ignore[arg-type]

    monkeypatch.setattr(bounded.BoundedLoader, "compose_node", count)
    for text, _ in BOMBS.values():
        composed = 0
        with pytest.raises(yaml.YAMLError):
            parse_yaml(text)
        assert composed <= MAX_NODES + 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: &x [1, 2]\nb: *x", {"a": [1, 2], "b": [1, 2]}),
        ("a: 0x1f\nb: 1e-3\nc: 1.0e-3\nd: ~", {"a": 31, "b": "1e-3", "c": 1e-3, "d": None}),
        ("[" * MAX_DEPTH + "]" * MAX_DEPTH, None),
        ("'<<': 1", {"<<": 1}),
    ],
)
def test_ordinary_yaml_is_read_as_ever(text: str, value: object) -> None:
    found = parse_yaml(text)
    assert value is None or found == value


def test_random_mutations_of_a_config_load_or_are_a_usage_error(tmp_path: Path) -> None:
    source = (Path(bounded.__file__).parent / "presets/tiny.yaml").read_text()
    rng = random.Random(7)
    pieces = ["[", "{", "&a", "*a", "<<: ", "? ", "- ", "'", '"', "|", ">", "!!", "%", "\t", "\n", "9" * 70, "\\ud800"]
    file, loaded = tmp_path / "c.yaml", 0
    for _ in range(300):
        text = list(source)
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(text))
            text[place : place + rng.randint(0, 3)] = rng.choice(pieces) * rng.randint(1, 3)
        file.write_text("".join(text))
        try:
            load_config(str(file))
            loaded += 1
        except UsageError:
            pass
    assert 0 < loaded < 300
