"""Answers of language models on disk, so that the same question is not paid twice."""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FOLDER = "answers"  # in the workspace
_VERSION = 1  # of the content of a request; a change of it must increase the number
Pixels = npt.NDArray[np.uint8]


class Answer(NamedTuple):
    """Usable answer of a language model about several images.

    Attributes:
        values: one number for each image.
        tokens_in, tokens_out: number of tokens of the request and of the reply. None: unknown.
    """

    values: tuple[float, ...]
    tokens_in: int | None
    tokens_out: int | None


class AnswerCache:
    """Folder of stored answers, each in one JSON file. The file name is a hash of endpoint, model, prompt and images.

    Args:
        folder: path of the folder. The folder is created when the first answer is stored.
        url: address of the endpoint. Models of two endpoints can have the same name. The files do not contain the
            address, because it can be secret.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self._folder, self._url = folder, url

    def find(self, model: str, prompt: str, images: Sequence[Pixels]) -> Answer | None:
        """Returns the stored answer, or None. A damaged file counts as missing."""
        try:
            found = json.loads(self._path(model, prompt, images).read_text(encoding="utf-8"))
            answer = Answer(tuple(map(float, found["answers"])), found["tokens_in"], found["tokens_out"])
        except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return None
        fits = len(answer.values) == len(images) and all(map(math.isfinite, answer.values))
        counts = all(one is None or isinstance(one, int) for one in answer[1:])
        return answer if fits and counts else None

    def store(self, model: str, prompt: str, images: Sequence[Pixels], answer: Answer) -> None:
        """Stores an answer. Another process never sees half of a file."""
        path = self._path(model, prompt, images)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "model": model,
            "prompt": prompt,
            "answers": answer.values,
            "tokens_in": answer.tokens_in,
            "tokens_out": answer.tokens_out,
        }
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            try:
                json.dump(content, file, ensure_ascii=False, indent=1)
            except BaseException:
                Path(file.name).unlink()
                raise
        Path(file.name).replace(path)

    def _path(self, model: str, prompt: str, images: Sequence[Pixels]) -> Path:
        request = [_VERSION, self._url, model, prompt, [one.shape for one in images]]
        known = hashlib.sha256(json.dumps(request).encode())
        for pixels in images:
            known.update(np.ascontiguousarray(pixels).tobytes())
        return self._folder / f"{known.hexdigest()}.json"
