"""`probe --model llm:NAME` on the demo city, against a real local endpoint that answers from the images it gets."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat_server import Chat, chat_server, images_in, value_of
from commandline import invoke, output_of, refused
from hint_commands import check_hint

from geojepa_cli import Workspace, stages
from geojepa_cli.config.language_model import LanguageModel
from geojepa_cli.errors import UsageError
from geojepa_cli.store.images import ImageStore
from geojepa_cli.store.store import TileStore
from geojepa_cli.workspace.artifact import Artifact

KEY = "sk-very-secret"
LINEAR = ("--task", "building_count", "--head", "linear")


@pytest.fixture
def server() -> Iterator[Chat]:
    with chat_server() as state:
        yield state


def probe(workspace: Workspace, server: Chat, *more: object, name: str = "net") -> dict[str, Any]:
    words = ("probe", *LINEAR, "--model", f"llm:{name}", "--base-url", server.url, *more, "--json")
    answer: dict[str, Any] = json.loads(output_of(workspace, *words))
    return answer


def predictions(made: Artifact) -> list[dict[str, str]]:
    with made.file("predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_probe_has_a_row_on_the_tiles_that_the_model_answered(
    demo: Workspace, server: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    prices = ("--price-in", 1, "--price-out", 2, "--max-cost", 5)
    answer = probe(demo, server, "--tiles", 24, "--api-key-env", "MY_KEY", *prices, name="org/net:1")
    made, report = demo.find("probes", answer["artifact"]), answer["result"]
    assert set(server.keys) == {f"Bearer {KEY}"} and {body["model"] for body in server.bodies} == {"org/net:1"}
    found = report["language_models"]["llm:org/net:1"]
    row = report["scores"][-1]
    assert (row["model"], row["head"], row["protocol"]) == ("llm:org/net:1", "zero-shot", "unknown")
    assert (found["asked"], found["answered"], found["drawn"], found["requests"]) == (24, 24, 0, 3)
    assert found["cost_usd"] == pytest.approx(3 * (1000 * 1 + 100 * 2) / 1e6)
    prompts = [body["messages"][0]["content"][0]["text"] for body in server.bodies]
    assert prompts[0] == found["prompt"] and "number of buildings" in prompts[0]

    images = ImageStore(demo.find("images", "demo").file("images.h5"))
    rows = predictions(made)
    asked = [line for line in rows if line["llm:org/net:1_zero-shot"]]
    assert len(asked) == 24 < len(rows) and all(line["kept"] == "1" for line in asked)
    for line in asked:
        z, x, y = map(int, line["tile"].split("_"))
        pixels = images.image[int(images.rows_of([z], [x], [y])[0])]
        assert float(line["llm:org/net:1_zero-shot"]) == value_of(pixels)
    errors = [abs(float(line["llm:org/net:1_zero-shot"]) - float(line["label"])) for line in asked]
    dummy = [abs(float(line["dummy_median"]) - float(line["label"])) for line in asked]
    assert row["mae"]["value"] == pytest.approx(np.mean(errors), rel=1e-4)
    assert row["relative"] == pytest.approx(np.mean(errors) / np.mean(dummy), rel=1e-4)
    assert {(one["model"], one["head"]) for one in found["compared"]} == {("dummy", "median"), ("tagpool", "linear")}
    for path in demo.root.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path
    check_hint(str(made.rebuild_hint()))
    assert "--model llm:org/net:1" in str(made.rebuild_hint()) and "--tiles 24" in str(made.rebuild_hint())

    answer = json.loads(output_of(demo, "report", "--json"))["result"]["tables"]
    tables = [table for table in answer if any("zero-shot" in one["model"] for one in table["models"])]
    (model,) = [one for one in tables[0]["models"] if one["model"] == "llm:org/net:1 (zero-shot)"]
    assert model["score"] == pytest.approx(row["relative"], rel=1e-4)
    pairs = [
        one for one in tables[0]["comparisons"] if "llm:org/net:1 (zero-shot)" in (one["a"]["model"], one["b"]["model"])
    ]
    assert pairs and {one["groups"] for one in pairs} == {found["groups"]}


def test_a_second_run_sends_no_request(demo: Workspace, server: Chat) -> None:
    first = probe(demo, server, "--tiles", 15)
    assert len(server.bodies) == 2
    assert probe(demo, server, "--tiles", 15)["artifact"] == first["artifact"]
    demo.remove(demo.find("probes", first["artifact"]))
    again = probe(demo, server, "--tiles", 15)
    assert again["artifact"] == first["artifact"] and len(server.bodies) == 2
    found = again["result"]["language_models"]["llm:net"]
    assert (found["requests"], found["stored_answers"]) == (0, 2)
    assert again["result"]["scores"] == first["result"]["scores"]


def test_another_endpoint_makes_another_probe(demo: Workspace, server: Chat) -> None:
    first = probe(demo, server, "--tiles", 6)
    with chat_server() as other:
        second = probe(demo, other, "--tiles", 6)
        assert second["artifact"] != first["artifact"] and len(other.bodies) == 1


def test_labels_of_a_file_are_asked_for_by_their_column(demo: Workspace, server: Chat, tmp_path: Path) -> None:
    store = TileStore.open([demo.find("processed", "demo").file("processed.h5")], names=["demo"])
    tiles = ["_".join(map(str, one)) for one in store.tile_zxy.tolist()]
    path = tmp_path / "prices.csv"
    path.write_text("tile,Price\n" + "".join(f"{tile},{row % 7}\n" for row, tile in enumerate(tiles)))
    stages.build_labels(demo, path, "Price", "demo", attribution="City")
    words = ("probe", "--task", "price", "--head", "linear", "--model", "llm:net", "--base-url", server.url)
    json.loads(output_of(demo, *words, "--tiles", 5, "--json"))
    text = server.bodies[0]["messages"][0]["content"][0]["text"]
    assert "`Price`, the value for the area" in text and "OpenStreetMap" not in text


def test_failed_answers_are_counted_and_left_out(demo: Workspace, server: Chat) -> None:
    server.faults.extend(["short", "broken", "refusal"])
    text = output_of(demo, "probe", *LINEAR, "--model", "llm:net", "--base-url", server.url, "--tiles", 20)
    words = " ".join(text.split())
    for part in ("zero-shot", "answered for 10 tiles of 20", "refusal 10", "broken JSON 1", "4 requests"):
        assert part in words, part
    (made,) = [one for one in demo.artifacts("probes") if one.name == "building_count.llm-net"]
    assert sum(bool(line["llm:net_zero-shot"]) for line in predictions(made)) == 10

    server.faults.extend(["refusal"] * 3)
    error = refused(demo, "probe", *LINEAR, "--model", "llm:mute", "--base-url", server.url, "--tiles", 5)
    assert "gave no usable answer (refusal: 5 tiles)" in error.message


def test_pictures_are_drawn_where_there_is_no_image_and_are_marked(demo: Workspace, server: Chat) -> None:
    for images in demo.artifacts("images"):
        demo.remove(images)
    answer = probe(demo, server, "--tiles", 8)
    report = answer["result"]
    (label,) = report["language_models"]
    assert label == "llm:net (drawn images)" and report["scores"][-1]["model"] == label
    assert report["language_models"][label]["drawn"] == 8
    made = demo.find("probes", answer["artifact"])
    assert any(line.startswith("Drawn images") for line in made.attribution)
    assert "drawn from a map" in server.bodies[0]["messages"][0]["content"][0]["text"]
    sent = images_in(server.bodies[0])
    ((_, drawn),) = stages.tile(demo, "demo", imagery="drawn")
    assert drawn is not None
    store = ImageStore(drawn.file("images.h5"))
    expected = {store.image[row].tobytes() for row in range(len(store))}
    assert len(sent) == 8 and {pixels.tobytes() for pixels in sent} <= expected


def test_the_python_function_takes_a_language_model(demo: Workspace, server: Chat) -> None:
    made = stages.probe(demo, "building_count", [LanguageModel("net", server.url, tiles=5), "tagpool"], head="linear")
    assert made.name == "building_count.llm-net" and len(server.bodies) == 1
    with pytest.raises(UsageError, match="needs `--base-url`"):
        stages.probe(demo, "building_count", "llm:net", head="linear")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("embed", "--model", "llm:net"), "computes no embeddings"),
        (("knn", "--tile", "16_18052_25957", "--model", "llm:net"), "computes no embeddings"),
        (("probe", *LINEAR, "--model", "llm:net"), "needs `--base-url`"),
        (("probe", *LINEAR, "--model", "tagpool", "--max-cost", "1"), "requires a language model"),
        (
            ("probe", *LINEAR, "--model", "llm:net", "--base-url", "http://h/v1", "--api-key-env", "NO_SUCH_KEY"),
            "`NO_SUCH_KEY` is not set",
        ),
    ],
)
def test_errors_are_explained_before_any_request(demo: Workspace, words: tuple[str, ...], message: str) -> None:
    error = invoke(demo, *words).exception
    assert message in str(error)
    assert not (Path(demo.root) / "answers").exists()
