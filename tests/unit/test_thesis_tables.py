"""The harmonic means of the thesis's tables 17 to 24, recomputed from the errors that the tables list.

Errors and means are rounded, so each is an interval. A row adds up if some errors in their
intervals give a mean in its interval. Rows that do not add up are listed, also in `docs/baselines.md`. Table 22 has no
errors: it lists the modalities that models read.
"""

from __future__ import annotations

import pytest

from geojepa_cli.metrics.metrics import harmonic_score

TASKS = ("buildings", "max_speed", "signals", "bridge", "car_bridge")
Row = tuple[tuple[float, ...], float]  # MAE by task (relative tables: change in percent), and the printed mean
Table = dict[str, Row]

DUMMY = (31.87, 46.83, 3.08, 0.32, 0.38)
VIT, SCALEMAE = (17.76, 18.04, 2.39, 0.27, 0.24), (16.21, 20.88, 2.29, 0.25, 0.24)
GEOJEPA_T, LMAE = (7.13, 11.5, 1.68, 0.17, 0.14), (5.43, 16.05, 1.72, 0.17, 0.16)
TAGPOOL = (7.15, 12.38, 1.01, 0.10, 0.10)

# table 18 lacks a value in the row of AG-4M-900s (first) and of AG-TI-1800s; both are left out
TABLES: dict[int, Table] = {
    18: {
        "AG-197M-3600s": ((20.09, 15.44, 2.24, 0.25, 0.21), 0.90),
        "AG-97M-900s": ((25.52, 14.26, 2.43, 0.23, 0.18), 0.88),
        "ViT-B/16": (VIT, 0.85),
        "ScaleMAE": (SCALEMAE, 0.84),
        "AG-4M-900s": ((19.70, 30.84, 2.81, 0.36, 0.34), 0.62),
        "AG-4M-600s": ((19.88, 31.54, 2.91, 0.39, 0.35), 0.60),
        "Dummy": (DUMMY, 0.49),
        "AG-TI-3600s": ((63.23, 93.04, 2.95, 0.34, 0.34), 0.33),
    },
    19: {
        "ViT-B/16": ((28.34, 19.15, 3.12, 0.23, 0.22), 0.96),
        "ScaleMAE": ((24.44, 21.85, 2.94, 0.24, 0.26), 0.93),
        "GPT-4o": ((29.92, 39.33, 3.0, 0.24, 0.23), 0.79),
        "GPT-4o-mini": ((36.94, 70.97, 3.25, 0.35, 0.37), 0.53),
        "Dummy": ((45.14, 41.69, 4.78, 0.66, 0.90), 0.40),
    },
    21: {
        "TagCountMLP": ((8.63, 2.60, 0.92, 0.05, 0.05), 1.0),
        "(M) TagCountMLP": ((14.06, 8.98, 1.80, 0.21, 0.19), 0.32),
        "ViT-B/16-MLP": (VIT, 0.23),
        "Dummy": (DUMMY, 0.13),
    },
    23: {
        "TagPool": (TAGPOOL, 0.84),
        "GeoJEPA-T": (GEOJEPA_T, 0.65),
        "TagformerLMAE": (LMAE, 0.64),
        "GeoJEPA-GT": ((4.19, 13.34, 1.83, 0.21, 0.20), 0.61),
        "TagAE": ((3.86, 20.63, 2.02, 0.23, 0.25), 0.52),
        "GeoJEPA-TI": ((4.02, 20.73, 2.07, 0.24, 0.24), 0.51),
        "GeoJEPA-GTI": ((4.40, 20.76, 2.07, 0.25, 0.25), 0.50),
        "ViT-B/16": (VIT, 0.37),
        "Dummy": (DUMMY, 0.22),
    },
    24: {
        "TagCountMLP": ((8.63, 14.43, 0.92, 0.05, 0.05), 0.77),
        "TagPool": (TAGPOOL, 0.61),
        "GeoJEPA-T": (GEOJEPA_T, 0.44),
        "TagformerLMAE": (LMAE, 0.43),
        "(M) TagCountMLP": ((14.06, 20.56, 1.80, 0.21, 0.19), 0.31),
        "(M) TagPool": ((26.17, 13.06, 1.91, 0.18, 0.18), 0.29),
        "(M) GeoJEPA-T": ((27.79, 11.79, 1.96, 0.19, 0.17), 0.28),
    },
}
# in percent of a row of the table; table 20 has two parts, each with its own best model
RELATIVE: dict[str, Table] = {
    "17": {
        "ScaleMAE (MLP)": ((-8.7, 15.7, -4.2, -5.1, 3.3), 0.958),
        "ViT-B/16 (MLP)": ((0.0, 0.0, 0.0, 0.0, 0.0), 0.957),
        "ViT-B/16 (LIN)": ((16.7, 50.9, -1.8, -6.7, -1.2), 0.860),
        "ScaleMAE (LIN)": ((12.1, 76.2, 2.7, -4.8, 5.4), 0.813),
        "EfficientNet (MLP)": ((81.4, 113.2, 31.0, 24.7, 65.3), 0.589),
        "ResNet (MLP)": ((81.4, 113.2, 31.0, 24.7, 65.3), 0.589),
        "Dummy": ((79.5, 159.5, 28.7, 20.4, 61.4), 0.566),
        "EfficientNet (LIN)": ((81.4, 256.6, 31.0, 24.7, 65.3), 0.504),
        "ResNet (LIN)": ((81.4, 256.7, 31.0, 24.7, 65.3), 0.504),
    },
    "20 unmasked": {
        "Tagformer-P": ((-25.1, -5.8, 15.8, -31.6, -5.0), 0.74),
        "Tagformer": ((0.0, 0.0, 0.0, 0.0, 0.0), 0.64),
        "Tagformer-S": ((-61.5, 288.7, -37.1, -8.8, 36.4), 0.56),
        "Tagformer-SP": ((-36.1, 293.0, -25.1, -2.1, 80.6), 0.48),
        "TagCountMLP": ((185.4, 251.4, 657.3, 2.6, 505.4), 0.16),
    },
    "20 masked": {
        "Tagformer-P": ((0.5, 1.0, 2.3, -14.7, -5.7), 0.99),
        "Tagformer": ((0.0, 0.0, 0.0, 0.0, 0.0), 0.95),
        "Tagformer-SP": ((12.5, 13.3, -2.4, -12.4, 20.0), 0.90),
        "Tagformer-S": ((11.8, 20.8, -1.4, 11.8, 28.0), 0.83),
        "TagCountMLP": ((4.6, 11.8, -2.2, 35.8, 40.4), 0.80),
    },
}
NOT_ADDING_UP = {"TagCountMLP", "(M) TagCountMLP", "(M) TagPool", "(M) GeoJEPA-T"}  # in table 24


def _wrong_rows(table: dict[str, tuple[tuple[float, ...], float]], half: float, half_mean: float) -> set[str]:
    """Returns the rows whose printed mean is not that of any errors within rounding.

    The mean of a row is highest with its own errors at their lowest and the best errors of the table at their highest.
    """
    wrong = set()
    for name, (errors, printed) in table.items():
        ends = []
        for mine, best in ((-half, half), (half, -half)):
            maes = {task: value + mine for task, value in zip(TASKS, errors, strict=True)}
            others = [row[0] for other, row in table.items() if other != name]
            least = {
                task: min([maes[task], *(row[place] + best for row in others)]) for place, task in enumerate(TASKS)
            }
            ends.append(harmonic_score(maes, least))
        if not ends[1] - half_mean <= printed <= ends[0] + half_mean:
            wrong.add(name)
    return wrong


@pytest.mark.parametrize("number", [18, 19, 21, 23])
def test_tables_of_absolute_errors_give_their_means(number: int) -> None:
    assert _wrong_rows(TABLES[number], 0.005, 0.005) == set()


@pytest.mark.parametrize(("name", "half_mean"), [("17", 0.0005), ("20 unmasked", 0.005), ("20 masked", 0.005)])
def test_tables_of_relative_errors_give_their_means(name: str, half_mean: float) -> None:
    ratios = {row: (tuple(1 + one / 100 for one in errors), mean) for row, (errors, mean) in RELATIVE[name].items()}
    assert _wrong_rows(ratios, 0.0005, half_mean) == set()


def test_table_24_adds_up_only_with_a_model_that_it_does_not_list() -> None:
    table = TABLES[24]
    assert _wrong_rows(table, 0.005, 0.005) == NOT_ADDING_UP
    with_tag_ae = {**table, "TagAE": (TABLES[23]["TagAE"][0], 0.5)}  # the best of table 23 on buildings
    assert _wrong_rows(with_tag_ae, 0.005, 0.005) - {"TagAE"} == set()


def test_a_wrong_mean_does_not_add_up() -> None:
    errors, mean = TABLES[23]["TagPool"]
    assert _wrong_rows({**TABLES[23], "TagPool": (errors, mean + 0.03)}, 0.005, 0.005) == {"TagPool"}
