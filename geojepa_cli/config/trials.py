"""Reads sweep files, and makes the trials of a sweep: configurations that differ in a few settings."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from geojepa_cli import hints
from geojepa_cli.config.families import RunConfig
from geojepa_cli.config.load import load_run_config
from geojepa_cli.config.reasons import describe_reason, name_type, shorten
from geojepa_cli.config.sweep import MAX_MODELS, MAX_TRIALS, Range, SweepSpec, Value
from geojepa_cli.config.yaml import parse_yaml, read_yaml
from geojepa_cli.errors import UsageError, nearest, unknown

PRESETS = "geojepa_cli.config.presets"
FOLDER = "sweeps"
MAX_SLUG = 60  # characters of a trial's name
DIGITS = 4  # significant digits of drawn numbers
_REASONS = {"string_pattern_mismatch": "expected letters, digits, `-`, `_` and, in a key such as `train.lr`, a dot"}


@dataclass(frozen=True)
class Trial:
    """A trial of a sweep: a configuration to train and test.

    Attributes:
        name: name of the trial, from the sweep file or made from `settings`.
        settings: values of the settings that vary in the sweep.
        config: the complete configuration.
    """

    name: str
    settings: dict[str, Value]
    config: RunConfig


def packed_sweeps() -> list[str]:
    """Returns the file names of the sweeps that come with the package."""
    folder = resources.files(PRESETS) / FOLDER
    return sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_sweep(path_or_name: str) -> SweepSpec:
    """Reads a sweep from a file, or by name from the package.

    If the file does not name the sweep, the name of the file is used. A path in `base` is relative to the folder of the
    file. If it does not exist there, it is relative to the working directory.

    Raises:
        UsageError: there is no such sweep, the file is not YAML, a key is unknown, or a value is invalid.
    """
    path = Path(path_or_name)
    name = path_or_name if path_or_name.endswith(".yaml") else f"{path_or_name}.yaml"
    if path.is_file():
        raw = read_yaml(path)
    elif name in packed_sweeps():
        raw = parse_yaml((resources.files(PRESETS) / FOLDER / name).read_text(encoding="utf-8"))
    else:
        message = unknown("sweep", path_or_name, packed_sweeps()).message
        raise UsageError(f"{message}; or give the path of a YAML file", hints.shell(hints.PROGRAM, "sweep", "--help"))
    if not isinstance(raw, dict):
        raise UsageError(f"`{path_or_name}` contains {name_type(raw)}, expected keys such as `settings`", _corrected())
    try:
        spec = SweepSpec.model_validate(raw)
    except ValidationError as error:
        raise _invalid(path_or_name, error) from None
    base = path.parent / spec.base
    known = {"base": str(base)} if path.is_file() and base.is_file() else {}
    return spec.model_copy(update={"name": spec.name or _slug(Path(name).stem), **known})


def make_trials(spec: SweepSpec, source: str, overrides: Sequence[str] = ()) -> list[Trial]:
    """Returns the trials of a sweep. Checks the configuration of each trial.

    Args:
        spec: the sweep.
        source: path or name of the sweep file, for messages.
        overrides: settings of all trials, such as `train.lr=1e-3`, which replace those of the sweep.

    Raises:
        UsageError: a setting is unknown, the configuration of a trial is invalid, or there are too many trials.
    """
    common = [_override(key, value) for key, value in spec.set.items()]
    _load(spec.base, common, f"`{source}`")
    load_run_config(spec.base, [*common, *overrides])  # its hints correct the option `--set`
    _refuse_varied(spec, source, overrides)
    named = list(_named(spec, source))
    if len(named) > MAX_TRIALS or len(named) * len(spec.seeds) * max(len(spec.folds), 1) > MAX_MODELS:
        count = f"{len(named):,} trials with {len(spec.seeds)} seeds and {max(len(spec.folds), 1)} folds"
        message = f"`{source}` has {count}, expected at most {MAX_TRIALS:,} trials and {MAX_MODELS:,} models"
        raise UsageError(message, _corrected())
    made = []
    for name, settings in named:
        changes = [_override(key, value) for key, value in settings.items()]
        where = f"`{source}`, trial `{name}`"
        made.append(Trial(name, settings, _load(spec.base, [*common, *overrides, *changes], where)))
    return made


def find_reference(spec: SweepSpec, trials: Sequence[Trial], source: str) -> str:
    """Returns the name of the trial with which the others are compared.

    Raises:
        UsageError: no trial has the name or the settings of `spec.reference`, or several trials have these settings.
    """
    wanted, names = spec.reference, [trial.name for trial in trials]
    if wanted is None:
        return names[0]
    if isinstance(wanted, str):
        if wanted not in names:
            close = nearest(wanted, names)
            guess = f"; did you mean `{close}`?" if close else f"; the first trial is `{names[0]}`"
            raise UsageError(f"`{source}`: `reference`: there is no trial `{shorten(wanted)}`{guess}", _corrected())
        return wanted
    found = [trial.name for trial in trials if all(_equals(trial.settings, *one) for one in wanted.items())]
    if len(found) != 1:
        count = f"{len(found)} trials have" if found else "no trial has"
        raise UsageError(f"`{source}`: `reference`: {count} these settings, expected one", _corrected())
    return found[0]


def describe_settings(settings: Mapping[str, Value]) -> str:
    """Returns settings as text, such as `train.lr=0.001, model.depth=3`."""
    return ", ".join(_override(key, value) for key, value in settings.items()) or "the base configuration"


def as_text(value: Value) -> str:
    """Returns a value as one line of YAML."""
    plain: Any = list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump(plain, default_flow_style=True, width=1_000_000).split("\n...")[0].strip()


def _refuse_varied(spec: SweepSpec, source: str, overrides: Sequence[str]) -> None:
    """Raises an error if a `--set` option changes a setting that varies in the sweep."""
    varied = {*spec.settings, *(key for settings in spec.variants.values() for key in settings)}
    for text in overrides:
        if (key := text.partition("=")[0].strip()) in varied:
            raise UsageError(
                f"`--set {key}` cannot be used: the sweep `{source}` varies this setting",
                hints.instead(("--set", text)),
            )


def _named(spec: SweepSpec, source: str) -> Iterator[tuple[str, dict[str, Value]]]:
    """Yields the name and the settings of each trial."""
    if spec.variants:
        yield from ((name, dict(settings)) for name, settings in spec.variants.items())
        return
    drawn = list(_grid(spec) if spec.method == "grid" else _draws(spec, source))
    names = [_name_of(settings) for settings in drawn]
    counts = Counter(names)
    for name, settings in zip(names, drawn, strict=True):
        yield (name if counts[name] == 1 else _with_hash(name, settings)), settings


def _grid(spec: SweepSpec) -> Iterator[dict[str, Value]]:
    """Yields the settings of each combination of the values. Stops after `MAX_TRIALS` + 1 combinations."""
    combinations = itertools.product(*spec.settings.values())
    for values in itertools.islice(combinations, MAX_TRIALS + 1):
        yield dict(zip(spec.settings, values, strict=True))


def _draws(spec: SweepSpec, source: str) -> Iterator[dict[str, Value]]:
    """Yields the settings of each trial of a random search. No two trials have the same settings.

    The value of a setting depends only on the seed, the number of the draw and the name of the setting. So it does not
    change if the sweep file gets more trials or more settings.
    """
    assert spec.trials is not None
    if not any(isinstance(values, Range) for values in spec.settings.values()):
        possible = math.prod(len(values) for values in spec.settings.values())
        if spec.trials > possible:
            message = f"`{source}`: `trials` is {spec.trials}, but the values have only {possible} combinations"
            raise UsageError(message, _corrected())
    seen: set[str] = set()
    for number in range(1000 * spec.trials):
        drawn = {
            key: _draw(values, random.Random(f"{spec.seed} {number} {key}").random())
            for key, values in spec.settings.items()
        }
        if (text := describe_settings(drawn)) not in seen:
            seen.add(text)
            yield drawn
        if len(seen) == spec.trials:
            return
    message = f"`{source}`: found only {len(seen)} different draws for {spec.trials} `trials`"
    raise UsageError(message, _corrected())


def _draw(values: Range | tuple[Value, ...], share: float) -> Value:
    """Returns the value at a position in a list or range. The position `share` is 0 at its start and 1 at its end."""
    if not isinstance(values, Range):
        return values[min(int(share * len(values)), len(values) - 1)]
    low, high = values.low, values.high
    whole = isinstance(low, int) and isinstance(high, int)
    if whole and not values.log:
        return int(min(low + math.floor(share * (high - low + 1)), high))
    drawn = low * (high / low) ** share if values.log else low + share * (high - low)
    if whole:
        return int(min(max(round(drawn), low), high))
    return float(min(max(float(f"{drawn:.{DIGITS}g}"), low), high))


def _name_of(settings: Mapping[str, Value]) -> str:
    """Returns a name made from settings, such as `lr0.001-depth3` for `train.lr=0.001` and `model.depth=3`."""
    last = Counter(key.rpartition(".")[2] for key in settings)
    parts = []
    for key, value in settings.items():
        short = key.rpartition(".")[2]
        text = "+".join(map(str, value)) if isinstance(value, tuple) else as_text(value)
        shown = short if last[short] == 1 else key
        parts.append(_slug(f"{shown}_{text}" if text[:1].isalpha() else f"{shown}{text}"))
    name = "-".join(parts)
    return name if len(name) <= MAX_SLUG else _with_hash(name, settings)


def _with_hash(name: str, settings: Mapping[str, Value]) -> str:
    digest = hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode()).hexdigest()[:8]
    return f"{name[: MAX_SLUG - 9]}-{digest}"


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.+-]+", "_", text).lstrip("_.+-")[:100] or "sweep"


def _override(key: str, value: Value) -> str:
    return f"{key}={as_text(value)}"


def _equals(settings: Mapping[str, Value], key: str, value: Value) -> bool:
    return key in settings and type(settings[key]) is type(value) and settings[key] == value


def _load(base: str, overrides: Sequence[str], where: str) -> RunConfig:
    """Loads the configuration of a trial. Error messages start with `where`, which names the trial."""
    try:
        return load_run_config(base, overrides)
    except UsageError as error:
        raise UsageError(f"{where}: {error.message}", _corrected()) from None


def _corrected() -> hints.Hint:
    return hints.again().noting("after the file is corrected")


def _invalid(source: str, error: ValidationError) -> UsageError:
    """Returns an error for one problem of a sweep file: the first unknown key or, without one, the first problem."""
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    where = ".".join(str(part) for part in first["loc"] if part != "[key]")
    if first["type"] == "extra_forbidden":
        known = [*Range.model_fields] if len(first["loc"]) > 1 else [*SweepSpec.model_fields]
        close = nearest(str(first["loc"][-1]), known)
        guess = f"; did you mean `{close}`?" if close else f"; the keys are {', '.join(f'`{key}`' for key in known)}"
        return UsageError(f"`{source}` has an unknown key `{shorten(where)}`{guess}", _corrected())
    at = f": `{shorten(where)}`" if where else ""
    return UsageError(f"`{source}`{at}: {describe_reason(first, _REASONS)}", _corrected())
