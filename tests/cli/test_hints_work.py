"""Hints of wrong command lines: commands that parse and do not fail with the same error."""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hint_commands import check_hint, split_hint
from wrong_commands import CITY

from geojepa_cli.app import main

if TYPE_CHECKING:
    from demo_workspace import DemoCity

TILE = "16_18052_25957"  # of the demo city
PLACEHOLDER = re.compile(r"\b(FILE|NAME|DIR|REGION)\b")

# run in an empty folder, where a command that parses ends before it does any work
EMPTY = """
pretrain --set train.max_steps=1e26
pretrain --set train.max_steps=1.5
pretrain --set train.max_steps=-1
pretrain --set train.max_steps=true
pretrain --set train.max_steps=null
pretrain --set train.max_minutes=0
pretrain --set train.weight_decay_end=-1
pretrain --set train.ema_momentum_end=2
pretrain --set train.lr=fast
pretrain --set train.lr=true
pretrain --set train.lr=.inf
pretrain --set train.lr=[1]
pretrain --set train.lr=[
pretrain --set train.lr=*x
pretrain --set 'train.lr={<<: {a: 1}}'
pretrain --set 'train.lr={1: 2}'
pretrain --set train.lr=1e-3 --set train.lr=-1
pretrain --set train.lrr=1 --set train.lrr=2
pretrain --set train.epochs=2 --set train.lrr=1
pretrain --set trian.lr=1
pretrain --set train.lr.x=1
pretrain --set train.lr
pretrain --set train.depth
pretrain --set lr=1e-3
pretrain --set lr
pretrain --set foo
pretrain --set =
pretrain --set 'a[b'
pretrain --set train.epochs=2 --set 'a[b'
pretrain --set train.epochs=2 --set foo
pretrain --set train.epochs=2 --set foo=1
pretrain --set data.image_size=1
pretrain --set data.split_seed=true
pretrain --set data.max_entities=1
pretrain --set model=3
pretrain --set 'model={depht: 3}'
pretrain --set 'model={depth: -3}'
pretrain --set model=3 --set model.depth=3
pretrain --set train=3
pretrain --set model.depth=0
pretrain --set model.num_heads=7
pretrain --set model.patch_px=33
pretrain --set model.depth=256 --set model.embed_dim=8192 --set model.num_heads=64
pretrain --set 'model.modalities=[tags, sound]'
pretrain --set 'model.modalities=[image]'
pretrain --set 'model.modalities=[tags, tags]'
pretrain --set model.position=x
pretrain --set model.predict_tile=maybe
pretrain --set masking.area_high=0.1
pretrain --set loss.modality_weights.sound=1
pretrain --set loss.modality_weights.tags=true
pretrain --set loss.modality_weights.geometry=1
pretrain --set loss.modality_weights.tags=0
pretrain --fold 7
pretrain --fold 1 --set data.fold=2
pretrain --set train.precision=float16
pretrain --set train.warmup=0.9
pretrain --config tinyy
pretrain --config tinny.yaml
pretrain --config foo
pretrain --name a/b
pretrain --seed -1
pretrain --seed x
pretrain --device gpu
pretrain --threads 0
pretrain --sett train.lr=1
pretrian --config tiny.yaml
tile
process --region nowhere
embed --region nowhere
knn --tile 16_1_2
knn --photo absent.jpg
heatmap
heatmap --entity foo
heatmap --entity way/1 --at 1,2
heatmap --at north
heatmap --at 1,2 --view top
heatmap --at 1,2 --view image
heatmap --at 1,2 --by road
heatmap --at 1,2 --resolution 0
heatmap --at 1,2 --resolution near
heatmap --photo absent.jpg
probe --task max_speed
report
fetch
fetch --pbf absent.osm.pbf --name x
fetch --pbf absent.osm.pbf
fetch --pbf x --name a/b
fetch --pbf x --region y
fetch --pbf x --name y --date 2024-01-01
fetch --region x --date foo
fetch --pbf x --name y --year x
fetch --pbf x --name y --year 1
fetch --pbf x --name y --bbox 1
fetch --pbf x --name y --imagery foo
fetch --nam x
fetch --photos absent
fetch --photos absent.csv --crs foo
fetch --photos x --pbf y
fetch --photos x --name y
fetch --photos . --region nowhere
fetch --crs EPSG:4326
--workspace full fetch --photos absent
--workspace full fetch --photos full
--workspace full fetch --photos full --crs EPSG:4326
--workspace full fetch --photos full --region nowhere
--workspace full demo --size smal
--workspace full demo --steps 0
--workspace full demo --seed x
--workspace full tile
"""


def lines(text: str) -> list[str]:
    return text.strip().splitlines()


def run(
    words: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    """Runs a command line in this process; returns the exit code and stderr."""
    monkeypatch.setattr("sys.argv", ["geojepa", *words])
    capsys.readouterr()
    with contextlib.chdir(folder), pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0), capsys.readouterr().err


def message_of(stderr: str, with_names: bool) -> str:
    """The error message; without the quoted names and values, it shows whether two errors are of one kind."""
    message = stderr.partition("error: ")[2].partition("\n\nhint: ")[0]
    return message if with_names else re.sub(r"`[^`]*`|\d+", "…", message)


def check(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, stderr = run(shlex.split(line), folder, monkeypatch, capsys)
    assert code in (1, 2), stderr
    hint = stderr.partition("\nhint: ")[2].strip()
    assert hint and "\n" not in hint, stderr
    check_hint(hint)
    words = split_hint(hint)[0]
    assert words[0] == "geojepa", hint
    if "pretrain" in words and not line.startswith("pret"):
        words += ["--set", "train.max_steps=0"]  # publishes an untrained model instead of training for minutes
    code, again = run(words[1:], folder, monkeypatch, capsys)
    assert code in (0, 1, 2), again
    named = bool(PLACEHOLDER.search(hint))  # a placeholder such as FILE fails too, with another name
    assert code == 0 or message_of(again, named) != message_of(stderr, named), f"{line}\n{stderr}\n{again}"


@pytest.mark.parametrize("line", lines(CITY))
def test_the_hint_leads_past_the_error(
    line: str, demo_city: DemoCity, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check(line.replace("TILE", TILE), demo_city.folder, monkeypatch, capsys)


@pytest.mark.parametrize("line", lines(EMPTY))
def test_the_hint_leads_past_the_error_in_an_empty_folder(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full").write_text("a file, not a workspace")
    check(line, tmp_path, monkeypatch, capsys)
