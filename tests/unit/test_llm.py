"""Language models against a real local endpoint: order of images, faults, cost, stored answers, and nothing leaks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from chat_server import TOKENS_IN, TOKENS_OUT, Chat, chat_server, images_in, value_of

from geojepa_cli.baselines import llm
from geojepa_cli.baselines.llm import Questions, read_answers
from geojepa_cli.baselines.llm_cache import AnswerCache
from geojepa_cli.config.language_model import LanguageModel, with_language_models
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.evaluate.folds import ProbeData
from geojepa_cli.evaluate.probe import run_probe
from geojepa_cli.evaluate.zero_shot import add_zero_shot, clip, draw_tiles
from geojepa_cli.sources.chat import ChatClient, Reply
from geojepa_cli.sources.http import OfflineError, RetryPolicy

QUICK = RetryPolicy(attempts=3, pause_s=0.01, max_pause_s=0.02, timeout_s=60.0)
KEY = "sk-very-secret"


@pytest.fixture
def server() -> Iterator[Chat]:
    with chat_server() as state:
        yield state


def images(count: int, first: int = 0) -> list[np.ndarray]:
    """Images of one colour: the red value of the image number i is 7 · i + 3, modulo 256."""
    values = (np.arange(first, first + count) * 7 + 3) % 256
    return [np.stack([np.full((8, 8), red, np.uint8), np.zeros((8, 8), np.uint8), np.eye(8, dtype=np.uint8)])
            for red in values]  # fmt: skip


def questions(server: Chat, folder: Path, policy: RetryPolicy = QUICK, **options: object) -> Questions:
    model = LanguageModel("net", server.url, **options)  # type: ignore[arg-type]
    client = ChatClient(server.url, KEY, policy)
    return Questions(model, client, AnswerCache(folder, client.url), lambda done: None)


def prompt(count: int) -> str:
    return f"question about {count}"


def test_answers_belong_to_their_images_in_requests_of_ten(server: Chat, tmp_path: Path) -> None:
    shown = images(23)
    asked = questions(server, tmp_path)
    assert asked.ask(prompt, shown).tolist() == [value_of(one) for one in shown]
    assert [len(images_in(body)) for body in server.bodies] == [10, 10, 3]
    sent = [pixels for body in server.bodies for pixels in images_in(body)]
    assert all(np.array_equal(a, b) for a, b in zip(sent, shown, strict=True))
    assert {body["model"] for body in server.bodies} == {"net"} and set(server.paths) == {"/v1/chat/completions"}
    assert server.bodies[2]["messages"][0]["content"][0] == {"type": "text", "text": "question about 3"}
    texts = [part["text"] for part in server.bodies[2]["messages"][0]["content"] if part["type"] == "text"]
    assert texts[1:] == ["Image 1:", "Image 2:", "Image 3:"]
    assert (asked.tally.requests, asked.tally.tokens_in) == (3, 3 * TOKENS_IN)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("broken", "broken JSON"),
        ("short", "wrong number of answers"),
        ("refusal", "refusal"),
        ("filtered", "refusal"),
    ],
)
def test_an_unusable_reply_is_asked_for_again_and_then_left_out(
    server: Chat, tmp_path: Path, fault: str, reason: str
) -> None:
    shown = images(20)
    server.faults.extend([fault, ""])
    asked = questions(server, tmp_path / "a")
    assert np.isfinite(asked.ask(prompt, shown)).all() and len(server.bodies) == 3
    assert dict(asked.tally.unusable) == {reason: 1} and not asked.tally.failed
    assert f"({reason})" in server.bodies[1]["messages"][0]["content"][1]["text"]

    server.faults.extend([fault] * llm.ATTEMPTS)
    asked = questions(server, tmp_path / "b")
    found = asked.ask(prompt, shown)
    assert np.isnan(found[:10]).all() and found[10:].tolist() == [value_of(one) for one in shown[10:]]
    assert dict(asked.tally.failed) == {reason: 10} and asked.tally.unusable[reason] == llm.ATTEMPTS
    assert asked.tally.requests == llm.ATTEMPTS + 1


def test_a_slow_reply_is_counted_as_a_time_out(server: Chat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm, "ATTEMPTS", 1)
    server.faults.extend(["slow", "slow"])
    asked = questions(server, tmp_path, QUICK._replace(timeout_s=2.0, attempts=2))
    found = asked.ask(prompt, images(20))
    assert np.isnan(found[:10]).all() and np.isfinite(found[10:]).all()
    assert dict(asked.tally.failed) == {"time-out": 10} and len(server.bodies) == 3


def test_a_busy_endpoint_is_asked_again_and_then_an_error(server: Chat, tmp_path: Path) -> None:
    server.faults.extend(["busy", "busy"])
    asked = questions(server, tmp_path)
    assert np.isfinite(asked.ask(prompt, images(4))).all() and len(server.bodies) == 3
    assert asked.tally.requests == 1 and not asked.tally.unusable
    server.faults.extend(["", *["busy"] * 3])
    with pytest.raises(OfflineError, match="429"):
        questions(server, tmp_path).ask(prompt, images(20, 50))
    before = len(server.bodies)
    questions(server, tmp_path).ask(prompt, images(20, 50))
    assert len(server.bodies) == before + 1  # the first ten answers were stored


def test_stored_answers_need_no_request_and_depend_on_all_inputs(server: Chat, tmp_path: Path) -> None:
    shown = images(12)
    first = questions(server, tmp_path).ask(prompt, shown)
    again = questions(server, tmp_path)
    assert again.ask(prompt, shown).tolist() == first.tolist() and len(server.bodies) == 2
    assert (again.tally.requests, again.tally.cached, again.tally.tokens_in) == (0, 2, 0)
    swapped = [shown[1], shown[0], *shown[2:10]]
    assert questions(server, tmp_path).ask(prompt, swapped)[:2].tolist() == [first[1], first[0]]
    questions(server, tmp_path).ask(lambda count: "other", shown[:10])
    other = LanguageModel("other", server.url)
    Questions(other, ChatClient(server.url, None, QUICK), AnswerCache(tmp_path, server.url), print).ask(
        prompt, shown[:10]
    )
    assert len(server.bodies) == 5
    for path in tmp_path.iterdir():
        path.write_text(path.read_text().replace("3.0,", "NaN,"))
    assert questions(server, tmp_path).ask(prompt, shown).tolist() == first.tolist() and len(server.bodies) > 5


def test_two_endpoints_do_not_share_answers_of_a_model_of_the_same_name(server: Chat, tmp_path: Path) -> None:
    questions(server, tmp_path).ask(prompt, images(10))
    with chat_server() as other:
        questions(other, tmp_path).ask(prompt, images(10))
        assert (len(server.bodies), len(other.bodies)) == (1, 1)
        questions(other, tmp_path).ask(prompt, images(10))
        assert len(other.bodies) == 1
    assert not [path for path in tmp_path.iterdir() if server.url in path.read_text()]


def test_the_cost_limit_stops_before_the_next_request(server: Chat, tmp_path: Path) -> None:
    prices = {"price_in": 100.0, "price_out": 1000.0}  # 0.2 USD for each request
    assert LanguageModel("x", "http://h", **prices).cost(TOKENS_IN, TOKENS_OUT) == pytest.approx(0.2)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"0\.4 USD spent, 20 of 30 tiles answered") as caught:
        questions(server, tmp_path, max_cost=0.59, **prices).ask(prompt, images(30))
    assert len(server.bodies) == 2 and "--max-cost" in str(caught.value.message)
    asked = questions(server, tmp_path, max_cost=0.2, **prices)
    assert np.isfinite(asked.ask(prompt, images(30))).all()
    assert len(server.bodies) == 3 and asked.tally.cached == 2
    with pytest.raises(DataError, match="0 of 5 tiles"):
        questions(server, tmp_path, max_cost=0, **prices).ask(prompt, images(5, 60))
    assert len(server.bodies) == 3
    server.faults.append("no usage")
    with pytest.raises(DataError, match="`--max-cost` cannot be kept"):
        questions(server, tmp_path, max_cost=9, **prices).ask(prompt, images(5, 60))


def test_repeated_questions_count_for_the_cost_limit(server: Chat, tmp_path: Path) -> None:
    server.faults.extend(["broken"] * 3)
    with pytest.raises(DataError, match="0 of 10 tiles answered"):
        questions(server, tmp_path, max_cost=0.45, price_in=100, price_out=1000).ask(prompt, images(10))
    assert len(server.bodies) == 2


@pytest.mark.parametrize(
    ("fault", "message"),
    [("denied", "401"), ("rejected", "400 Bad Request: unknown model"), ("no chat", "not a chat completion")],
)
def test_errors_of_the_endpoint_stop_the_run_and_do_not_show_the_key(
    server: Chat, tmp_path: Path, fault: str, message: str
) -> None:
    server.faults.append(fault)
    with pytest.raises(OfflineError, match=message) as caught:
        questions(server, tmp_path).ask(prompt, images(20))
    assert len(server.bodies) == 1 and server.keys == [f"Bearer {KEY}"]
    assert KEY not in caught.value.message + str(caught.value.hint)
    questions(server, tmp_path).ask(prompt, images(3))
    assert tmp_path.exists() and not [path for path in tmp_path.rglob("*") if KEY in path.read_text()]


def test_no_request_goes_to_another_address(server: Chat, tmp_path: Path) -> None:
    with chat_server() as other:
        server.target = f"{other.url}/chat/completions"
        server.faults.append("redirect")
        with pytest.raises(OfflineError, match="307"):
            questions(server, tmp_path).ask(prompt, images(2))
        assert len(server.bodies) == 1 and other.bodies == []
    with pytest.raises(OfflineError, match="cannot be reached"):
        questions(other, tmp_path).ask(prompt, images(2))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"answers": [1, 2.5]}', (1.0, 2.5)),
        ("[1, -2]", (1.0, -2.0)),
        ('Sure!\n```json\n{"answers": [0, 1e2]}\n```', (0.0, 100.0)),
        ('{"answers": [1, true]}', "broken JSON"),
        ('{"answers": [1, "2"]}', "broken JSON"),
        ('{"answers": [1, NaN]}', "broken JSON"),
        ('{"answers": [1, ' + "9" * 400 + "]}", "broken JSON"),
        ('{"answers": [1, null]}', "broken JSON"),
        ('{"answers": [1', "broken JSON"),
        ("[" * 100_000, "broken JSON"),
        ("I cannot see any image.", "broken JSON"),
        ("", "broken JSON"),
        ("7", "broken JSON"),
        ('{"answers": [1, 2, 3]}', "wrong number of answers"),
        ('{"answers": []}', "wrong number of answers"),
    ],
)
def test_only_one_finite_number_for_each_image_is_an_answer(text: str, found: object) -> None:
    if isinstance(found, tuple):
        assert read_answers(Reply(text, None, 1, 1), 2) == found
        return
    with pytest.raises(llm.UnusableReplyError) as caught:
        read_answers(Reply(text, None, 1, 1), 2)
    assert str(caught.value) == found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_url": None}, "needs `--base-url`"),
        ({"base_url": "ftp://host/v1"}, "is not an HTTP address"),
        ({"base_url": "http://"}, "is not an HTTP address"),
        ({"base_url": "http://user:secret@host/v1"}, "must not contain a user"),
        ({"base_url": "http://host/v1?key=secret"}, "must not contain a user"),
        ({"api_key_env": "sk-abc"}, "not the key"),
        ({"max_cost": 1.0}, "`--price-in` and `--price-out`"),
        ({"max_cost": -1.0, "price_in": 1.0, "price_out": 1.0}, "0 or more"),
        ({"price_in": float("nan")}, "0 or more"),
        ({"tiles": 0}, "expected 1 to"),
        ({"names": ["llm:"]}, "needs the name"),
        ({"names": ["tagpool"]}, "requires a language model"),
        ({"names": None, "base_url": None, "tiles": 5}, "`--tiles` requires a language model"),
    ],
)
def test_wrong_options_are_explained(options: dict[str, object], message: str) -> None:
    given = {"names": ["llm:net"], "base_url": "http://host/v1", "api_key_env": None, "max_cost": None}
    given |= {"price_in": None, "price_out": None, "tiles": None}
    with pytest.raises(UsageError, match=message) as caught:
        with_language_models(**(given | options))  # type: ignore[arg-type]
    assert "secret" not in caught.value.message and "sk-abc" not in caught.value.message


def test_the_sample_is_proportional_to_the_tiles_of_each_group() -> None:
    rng = np.random.default_rng(5)
    groups = np.repeat(np.arange(30), rng.integers(1, 80, 30))
    candidates = np.flatnonzero(rng.random(len(groups)) < 0.7)
    drawn = draw_tiles(groups, candidates, 100, seed=1)
    assert len(set(drawn.tolist())) == 100 and set(drawn.tolist()) <= set(candidates.tolist())
    for group in range(30):
        share = (groups[candidates] == group).sum() * 100 / len(candidates)
        assert abs((groups[drawn] == group).sum() - share) < 1 + 1e-9
    assert draw_tiles(groups, candidates, 100, seed=1).tolist() == drawn.tolist()
    assert draw_tiles(groups, candidates, 100, seed=2).tolist() != drawn.tolist()
    assert sorted(draw_tiles(groups, candidates, 10**6, seed=1).tolist()) == candidates.tolist()


def test_scores_and_comparisons_read_only_the_answered_tiles() -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((90, 3)).astype(np.float32)
    labels = 10 + x @ np.array([3.0, -1.0, 2.0]) + rng.standard_normal(90)
    data = ProbeData(labels, np.ones(90, bool), np.zeros(90, np.uint8), np.repeat(np.arange(30), 3))
    result = run_probe(data, {"net": x}, ["linear"])
    values = np.where(rng.random(90) < 0.4, labels + 0.5, np.nan)
    known = ~np.isnan(values)
    more, content = add_zero_shot(result, data, "llm:x", values, 0, 1)
    row = more.scores[-1]
    errors = {key: np.abs(one[0] - labels)[known].mean() for key, one in result.predictions.items()}
    assert (row.model, row.head) == ("llm:x", "zero-shot") and row.mae.value == pytest.approx(0.5)
    assert row.relative == pytest.approx(0.5 / errors["dummy", "median"])
    assert content["answered"] == known.sum() and content["groups"] == len(np.unique(data.groups[known]))
    compared = {(one["model"], one["head"]): one for one in content["compared"]}
    assert set(compared) == set(errors)
    for key, error in errors.items():
        assert compared[key]["mae"] == pytest.approx(error)
        assert compared[key]["difference"]["value"] == pytest.approx((0.5 - error) / errors["dummy", "median"])
    assert result.scores == more.scores[:-1]


def test_answers_are_limited_as_the_task_says() -> None:
    found = clip(np.array([-5.0, 0.5, 7.0, np.nan]), (0.0, 1.0))
    np.testing.assert_array_equal(found, [0.0, 0.5, 1.0, np.nan])
    np.testing.assert_array_equal(clip(found, (None, None)), found)
