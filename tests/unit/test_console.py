"""Output: no control character reaches a terminal, and numbers are recognised."""

from __future__ import annotations

import contextlib
import io
import json

from geojepa_cli import console, hints

EVIL = "a\x1b[31mb\x00\x7f\x9b2J\r\x08\u202ec\ud800"
WRITTEN = r"a\x1b[31mb\x00\x7f\x9b2J\r\x08\u202ec\ud800"
SAFE = "Straße – 東京\tλ\nنص"


def test_control_characters_are_written_out_and_text_stays() -> None:
    assert console.printable(EVIL) == WRITTEN
    assert console.printable(SAFE) == SAFE


def test_json_escapes_them_and_means_the_same() -> None:
    text = console.to_json({EVIL: SAFE})
    assert json.loads(text) == {EVIL: SAFE}
    assert console.printable(text) == text and "\n" not in text


def test_no_way_of_printing_lets_them_through() -> None:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        console.note(EVIL)
        console.warn(EVIL, hints.advice(EVIL))
        console.error(EVIL, hints.advice(EVIL))
        console.print_line(EVIL)
        console.table(EVIL, [EVIL], [[EVIL]], caption=EVIL)
        console.emit_json(EVIL, EVIL, [EVIL])
        with console.progress(EVIL) as meter:
            meter.update(1, description=EVIL)
    printed = out.getvalue() + err.getvalue()
    assert console.printable(printed) == printed
    assert err.getvalue().count(WRITTEN) == 5 and out.getvalue().count(WRITTEN) == 5


def test_columns_of_numbers_are_aligned_right_and_names_left() -> None:
    for cell in ("1", "-3", "−3.5", "1,234", "12 %", "4.0 kB", "0.12e-3", "0.257*", "", "–", 7, 1.5):
        assert console._is_number(cell), cell
    for cell in ("16_18052_25957", "33,371 bytes, 64 images", "3 of 4", "a", "1.2.3", "2026-01-01"):
        assert not console._is_number(cell), cell
