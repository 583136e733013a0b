"""Sweep files: grids, random draws, names of trials, references and errors in words."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from geojepa_cli.config.trials import Trial, find_reference, load_sweep, make_trials, packed_sweeps
from geojepa_cli.errors import UsageError

RANGES = (
    "train.lr: {low: 1e-4, high: 1e-2, log: true}, model.depth: {low: 1, high: 4}, loss.regulariser: [vicreg, none]"
)


def trials_of(folder: Path, text: str, *overrides: str) -> list[Trial]:
    path = folder / "file.yaml"
    path.write_text(text)
    return make_trials(load_sweep(str(path)), "file.yaml", overrides)


def test_a_grid_has_every_combination(tmp_path: Path) -> None:
    made = trials_of(tmp_path, "settings: {train.lr: [1e-3, 0.002], model.depth: [1, 2, 3]}", "train.max_steps=7")
    assert [tuple(trial.settings.values()) for trial in made] == [(a, b) for a in (0.001, 0.002) for b in (1, 2, 3)]
    assert made[0].name == "lr0.001-depth1" and len({trial.name for trial in made}) == 6
    assert all(trial.config.train.max_steps == 7 for trial in made)
    assert [trial.config.model.depth for trial in made] == [1, 2, 3, 1, 2, 3]  # type: ignore[union-attr]


def test_draws_are_seeded_within_the_range_and_do_not_change_with_more_trials(tmp_path: Path) -> None:
    text = f"{{method: random, trials: 40, settings: {{{RANGES}}}}}"
    made = [trial.settings for trial in trials_of(tmp_path, text)]
    assert made == [trial.settings for trial in trials_of(tmp_path, text)]
    assert made[:5] == [trial.settings for trial in trials_of(tmp_path, text.replace("trials: 40", "trials: 5"))]
    assert made != [trial.settings for trial in trials_of(tmp_path, text.replace("method", "seed: 1, method"))]
    rates = [float(one["train.lr"]) for one in made]  # type: ignore[arg-type]
    assert all(1e-4 <= rate <= 1e-2 for rate in rates)
    below = sum(math.log10(rate) < -3 for rate in rates)
    assert 10 <= below <= 30  # half of a logarithmic range
    assert {one["model.depth"] for one in made} == {1, 2, 3, 4}
    assert {one["loss.regulariser"] for one in made} == {"vicreg", "none"}


def test_the_first_draw_is_the_same_on_every_machine(tmp_path: Path) -> None:
    (first,) = trials_of(tmp_path, f"{{method: random, trials: 1, settings: {{{RANGES}}}}}")
    assert first.settings == {"train.lr": 0.0002201, "model.depth": 2, "loss.regulariser": "none"}


def test_the_packed_sweep_is_section_9_4_of_the_thesis() -> None:
    assert packed_sweeps() == ["thesis-vicreg.yaml"]
    spec = load_sweep("thesis-vicreg")
    standard, without, larger = (trial.config for trial in make_trials(spec, "thesis-vicreg"))
    assert (standard.train.epochs, standard.train.accumulation, larger.train.accumulation) == (300, 6, 10)
    assert without.loss.regulariser == "none" and standard.loss.regulariser == "vicreg"  # type: ignore[union-attr]


def test_a_reference_is_a_name_or_settings(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    for reference, expected in (("", "lr0.1"), ("reference: lr0.2", "lr0.2"), ("reference: {train.lr: 0.2}", "lr0.2")):
        path.write_text("settings: {train.lr: [0.1, 0.2]}\n" + reference)
        spec = load_sweep(str(path))
        assert find_reference(spec, make_trials(spec, "f"), "f") == expected
    path.write_text("settings: {train.lr: [0.1]}\nreference: {train.lr: 3}")
    spec = load_sweep(str(path))
    with pytest.raises(UsageError, match="no trial has these settings"):
        find_reference(spec, make_trials(spec, "f"), "f")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{settings: {train.lrr: [1]}}", "did you mean `train.lr`"),
        ("{setings: {train.lr: [1]}}", "unknown key `setings`; did you mean `settings`"),
        ("{settings: {train.lr: {low: 1, hi: 2}}}", "unknown key `hi` of a range"),
        ("{settings: {train.lr: {low: 3, high: 2}}}", "low 3 is not less than high 2"),
        ("{settings: {train.lr: [1e-3, 0.001]}}", "contains a value twice"),
        ("{settings: {train.lr: [0.1]}, seeds: 0}", "expected 1 to 100 seeds"),
        ("{settings: {train.lr: [0.1]}, base: tinny}", "did you mean `tiny`"),
        ("{}", "either `settings` with values, or `variants`"),
        ("{method: random, settings: {train.lr: [0.1]}}", "needs `trials`"),
        ("{method: random, trials: 3, settings: {train.lr: [0.1, 0.2]}}", "only 2 combinations"),
        (
            f"{{settings: {{train.lr: {[n / 100 for n in range(1, 51)]}, train.weight_decay: {list(range(50))}}}}}",
            "expected at most 1,000 trials",
        ),
    ],
)
def test_a_wrong_file_is_an_error_in_words(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says.replace("(", r"\(")):
        trials_of(tmp_path, text)
