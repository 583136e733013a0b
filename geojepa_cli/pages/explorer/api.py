"""The requests that the page can make, and their answers. Knows nothing about sockets."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs

from geojepa_cli.errors import GeojepaError, NotFoundError, UsageError
from geojepa_cli.pages.explorer import answers, requests
from geojepa_cli.pages.explorer.explorer import Explorer
from geojepa_cli.pages.explorer.library import FOLDER as LIBRARY
from geojepa_cli.pages.explorer.pictures import Pictures

ASSETS = "assets"
TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}
JSON, BINARY = "application/json", "application/octet-stream"
_PICTURE = re.compile(r"api/(image|map)/(\d{1,9})")
_ELEMENT = re.compile(r"(node|way|relation)/\d{1,18}")


@dataclass(frozen=True)
class Response:
    """Answer to a request.

    Attributes:
        body: content.
        type: media type of the content.
        status: HTTP status.
        lasting: True if the answer to the same request never changes while the server runs.
    """

    body: bytes
    type: str = JSON
    status: int = 200
    lasting: bool = False


@dataclass(frozen=True)
class About:
    """Facts that the page shows.

    Attributes:
        model: `name@id` of the model.
        form: search space in which vectors are compared, such as `centred`.
        credits: attribution of maps and images, one line each.
        images: for each region, `aerial`, `drawn`, or None.
        basemap: URL template of the tiles of a base map, or None.
    """

    model: str
    form: str
    credits: Sequence[str]
    images: Sequence[str | None]
    basemap: str | None = None


@dataclass
class Api:
    """Answers requests with an explorer.

    Attributes:
        explorer: searches the regions.
        about: facts that the page shows.
    """

    explorer: Explorer
    about: About
    _files: dict[str, Response] = field(init=False)

    def __post_init__(self) -> None:
        self._pictures = Pictures(self.explorer.places)
        self._files = {"": _file(ASSETS, "index.html"), **_folder(ASSETS), **_folder(LIBRARY)}
        self._fixed: Mapping[str, Callable[[], Response]] = {
            "api/about": lambda: Response(_json(self._about())),
            "api/tiles": lambda: Response(answers.tiles_bytes(self.explorer.places), BINARY, lasting=True),
            "api/colours": lambda: Response(self.explorer.tile_colours.tobytes(), BINARY, lasting=True),
        }

    def get(self, path: str, query: str = "") -> Response:
        """Answers a GET request.

        Args:
            path: path without the token and without the leading slash. It is compared with the names of known files,
                and is never used as a path of the file system.
            query: query string.
        """
        if path in self._files:
            return self._files[path]
        return self._guarded(lambda: self._get(path, query))

    def post(self, path: str, body: bytes) -> Response:
        """Answers a POST request with a JSON object."""
        return self._guarded(lambda: self._post(path, body))

    def _get(self, path: str, query: str) -> Response:
        if path in self._fixed:
            return self._fixed[path]()
        picture = _PICTURE.fullmatch(path)
        if picture is None:
            raise NotFoundError("there is no such page")
        tile = self._tile(picture[2])
        if picture[1] == "image":
            return Response(self._pictures.image(tile), "image/webp", lasting=True)
        wanted = parse_qs(query).get("highlight", [None])[0]
        if wanted is not None and not _ELEMENT.fullmatch(wanted):
            raise UsageError("`highlight` is not an OSM element")
        return Response(self._pictures.map(tile, wanted), TYPES["svg"], lasting=True)

    def _post(self, path: str, body: bytes) -> Response:
        explorer = self.explorer
        if path == "api/search":
            answer = explorer.search(requests.parse(requests.Search, body))
            return Response(answers.pack_search(explorer.places, answer, explorer.tag_statistics), BINARY)
        if path == "api/entity-colours":
            wanted = requests.parse(requests.EntityColours, body)
            return Response(explorer.entity_colours(wanted.tiles, wanted.question).tobytes(), BINARY)
        if path == "api/entities":
            tiles = [self._tile(tile) for tile in requests.parse(requests.EntityColours, body).tiles]
            return Response(_json(answers.entities_json(explorer.places, tiles)))
        raise NotFoundError("there is no such page")

    def _tile(self, number: int | str) -> int:
        if int(number) >= len(self.explorer.places):
            raise NotFoundError(f"there is no tile number {number}")
        return int(number)

    def _about(self) -> dict[str, Any]:
        places, about = self.explorer.places, self.about
        starts = places.tile_starts.tolist()
        return {
            "model": about.model,
            "form": about.form,
            "credits": list(about.credits),
            "basemap": about.basemap,
            "tiles": len(places),
            "entities": places.n_entities,
            "regions": [
                {"name": one.name, "first": starts[i], "last": starts[i + 1], "images": about.images[i]}
                for i, one in enumerate(places.regions)
            ],
        }

    @staticmethod
    def _guarded(answer: Callable[[], Response]) -> Response:
        try:
            return answer()
        except NotFoundError as error:
            return failure(404, error.message)
        except UsageError as error:
            return failure(400, error.message)
        except GeojepaError as error:
            return failure(500, error.message)


def failure(status: int, message: str) -> Response:
    """Returns an error as a response."""
    return Response(_json({"error": message}), JSON, status)


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _folder(folder: str) -> dict[str, Response]:
    names = [one.name for one in files(__package__).joinpath(folder).iterdir() if one.name.rpartition(".")[2] in TYPES]
    return {f"{folder}/{name}": _file(folder, name) for name in names}


def _file(folder: str, name: str) -> Response:
    path = files(__package__).joinpath(folder, name)
    return Response(path.read_bytes(), TYPES[name.rpartition(".")[2]], lasting=folder == LIBRARY)
