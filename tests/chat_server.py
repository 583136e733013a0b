"""A real HTTP server that behaves as an endpoint for chat completions, with faults on request.

It answers from the images that it gets: the value of an image is the red value of its first pixel.
"""

from __future__ import annotations

import base64
import io
import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import numpy as np
from local_server import listen
from PIL import Image

TOKENS_IN, TOKENS_OUT = 1000, 100


@dataclass
class Chat:
    """The running server.

    Attributes:
        url: base URL of the API.
        faults: names of the faults of the next responses, in order; "" for none.
        bodies: bodies of all requests.
        keys: `Authorization` headers of all requests.
        paths: paths of all requests.
        target: URL to which the fault `redirect` leads.
        released: ends the fault `slow`.
    """

    url: str = ""
    faults: deque[str] = field(default_factory=deque)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    target: str = ""
    released: threading.Event = field(default_factory=threading.Event)


@contextmanager
def chat_server() -> Iterator[Chat]:
    """Runs the server."""
    state = Chat()
    with listen(_Handler, state) as root:
        state.url = f"{root}/v1"
        try:
            yield state
        finally:
            state.released.set()


def value_of(pixels: np.ndarray[Any, Any]) -> float:
    """The answer of the server about an image, uint8 [3, rows, columns]."""
    return float(pixels[0, 0, 0])


def images_in(body: dict[str, Any]) -> list[np.ndarray[Any, Any]]:
    """The images in a request, each uint8 [3, rows, columns]."""
    parts = [part for message in body["messages"] for part in message["content"]]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    files = [base64.b64decode(url.removeprefix("data:image/png;base64,"), validate=True) for url in urls]
    return [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")).transpose(2, 0, 1) for file in files]


class _Handler(BaseHTTPRequestHandler):
    state: Chat

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.state.bodies.append(body)
        self.state.keys.append(self.headers.get("Authorization"))
        self.state.paths.append(self.path)
        fault = self.state.faults.popleft() if self.state.faults else ""
        answers = [value_of(pixels) for pixels in images_in(body)]
        if fault == "slow":
            self.state.released.wait(30)
        if fault == "redirect":
            self._send(307, b"", Location=self.state.target)
        elif fault == "busy":
            self._send(429, b"{}", **{"Retry-After": "0"})
        elif fault == "denied":
            self._json(401, {"error": {"message": f"wrong key {self.headers.get('Authorization')}"}})
        elif fault == "rejected":
            self._json(400, {"error": {"message": f"unknown model, {self.headers.get('Authorization')}"}})
        elif fault == "filtered":
            self._json(400, {"error": {"message": "filtered", "code": "content_filter"}})
        elif fault == "no chat":
            self._json(200, {"object": "list", "data": []})
        else:
            self._json(200, self._completion(fault, answers))

    def _completion(self, fault: str, answers: list[float]) -> dict[str, Any]:
        text = json.dumps({"answers": answers[1:] if fault == "short" else answers})
        text = {"broken": text[:-3], "words": f"Here it is:\n```json\n{text}\n```\nDone."}.get(fault, text)
        message = {"role": "assistant", "content": None if fault == "refusal" else text, "refusal": None}
        if fault == "refusal":
            message["refusal"] = "I cannot help with that."
        usage = {"prompt_tokens": TOKENS_IN, "completion_tokens": TOKENS_OUT}
        whole: dict[str, Any] = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
        return whole if fault == "no usage" else whole | {"usage": usage}

    def _json(self, status: int, content: dict[str, Any]) -> None:
        self._send(status, json.dumps(content).encode(), **{"Content-Type": "application/json"})

    def _send(self, status: int, content: bytes, **headers: str) -> None:
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client did not wait
