"""Output of `probe` for language models: counts of requests, cost, and a comparison with the other models."""

from __future__ import annotations

from typing import Any

from geojepa_cli import console

COLUMNS = ("compared with", "head", "MAE", "MAE / Dummy", "difference / Dummy", "95 % interval", "verdict")
VERDICTS = {"a is better": "language model is better", "b is better": "language model is worse"}
NONE = "–"


def print_language_models(report: dict[str, Any]) -> None:
    """Prints, for each language model, counts of its requests and a comparison with the other models.

    Models are compared on the tiles for which the language model gave an answer.

    Args:
        report: content of the `report.json` of a probe.
    """
    for label, found in report.get("language_models", {}).items():
        _print_counts(label, found)
        console.table(
            f"on the {found['answered']:,} tiles that {label} answered",
            list(COLUMNS),
            [_row(one) for one in found["compared"]],
            caption="differences: MAE of the language model minus that of the other model, divided by that of Dummy",
        )


def _print_counts(label: str, found: dict[str, Any]) -> None:
    tiles = console.counted(found["answered"], "tile")
    of = f"{tiles} of {found['asked']:,} in {console.counted(found['groups'], 'zoom-14 group')}"
    drawn = f"; {found['drawn']:,} pictures are drawn from the map" if found["drawn"] else ""
    console.print_line(f"`{label}` answered for {of}; its scores cover only these tiles{drawn}")
    for title, key in (("without an answer", "failed"), ("unusable replies", "unusable")):
        if found[key]:
            reasons = ", ".join(f"{reason} {count:,}" for reason, count in found[key].items())
            console.print_line(f"{title}: {reasons}")
    tokens, cost = found["tokens"], found["cost_usd"]
    paid = f"{tokens['in']:,} tokens in, {tokens['out']:,} out" + ("" if cost is None else f", {cost:.4g} USD")
    stored = console.counted(found["stored_answers"], "stored answer")
    console.print_line(f"{console.counted(found['requests'], 'request')} ({paid}), {stored} used")


def _row(one: dict[str, Any]) -> list[str]:
    start = [one["model"], one["head"], f"{one['mae']:.3f}"]
    if "difference" not in one:
        return [*start, *[NONE] * 4]
    difference = one["difference"]
    interval = f"{difference['low']:+.3f} … {difference['high']:+.3f}"
    verdict = VERDICTS.get(one["verdict"], one["verdict"])
    return [*start, f"{one['relative']:.3f}", f"{difference['value']:+.3f}", interval, verdict]
