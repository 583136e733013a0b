"""Ranges and examples of the arguments of the functions in `geojepa_cli.stages`, by name."""

from __future__ import annotations

import os
from typing import NamedTuple

from geojepa_cli import native
from geojepa_cli.config.limits import DEFAULT_LIMITS, MAX_FOLDS

MAX_SEED = 2**63 - 1
MAX_NEIGHBOURS = 1000
MAX_DIGITS = 100


class Range(NamedTuple):
    """Range of valid values of an integer argument.

    Attributes:
        low: smallest valid value.
        high: largest valid value.
        example: valid value that the hint of an error suggests.
    """

    low: int
    high: int
    example: int


RANGES = {
    "threads": Range(1, native.MAX_THREADS, min(os.cpu_count() or 1, native.MAX_THREADS)),
    "seed": Range(0, MAX_SEED, 0),
    "k": Range(1, MAX_NEIGHBOURS, 8),
    "zoom": Range(14, 18, 16),
    "visibility_k": Range(0, 2**31 - 1, 1),
    "min_entities": Range(0, 2**31 - 1, DEFAULT_LIMITS.low),
    "max_entities": Range(1, 2**31 - 1, DEFAULT_LIMITS.high),
    "folds": Range(2, MAX_FOLDS, 5),
    "fold": Range(0, MAX_FOLDS - 1, 0),
    "seeds": Range(1, 100, 3),
    "year": Range(1900, 9999, 2021),
    "image_size": Range(1, 2**31 - 1, 224),
    "per_class": Range(1, 1_000_000, 1000),
    "workers": Range(1, 256, 2),
    "tiles": Range(1, 2**31 - 1, 1000),
    "steps": Range(1, 2**31 - 1, 100),
    "dimensions": Range(1, 65_536, 96),
    "port": Range(0, 65_535, 0),
}
FLAGS = (
    "masked",
    "html",
    "exclude_same_group",
    "without_shared",
    "resume",
    "skip_failed",
    "with_imagery",
    "buffer",
    "unfinished",
    "context",
    "ray",
    "all_regions",
    "no_vectors",
)
# examples of arguments, as Python expressions for hints
PATHS = {
    "pbf": '"map.osm.pbf"',
    "polygon": '"area.geojson"',
    "out": '"report"',
    "draw_": '"drawing.geojson"',
    "area": '"parks.geojson"',
    "photos": '"DIR"',
    "photo": '"photo.jpg"',
}
TEXT_OR_PATH = {"imagery": '"DIR"', "image_weights": '"FILE"', "config": '"tiny.yaml"', "file": '"lr.yaml"'}
TEXT_OR_PATH |= {"geofabrik_url": '"URL"'}
TEXTS = {
    "tile": '"16_18052_25957"',
    "entity": '"way/123"',
    "space": '"balanced"',
    "at": '"-76.88,40.26"',
    "text": '"school next to a motorway"',
    "level": '"tile"',
    "merge": '"NAME"',
    "name": '"NAME"',
    "date": '"2024-01-01"',
    "split": '"group"',
    "label": '"price"',
    "reduce": '"mean"',
    "crs": '"EPSG:4326"',
    "hide": '"all"',
    "leave_out": '"groups"',
    "size": '"small"',
    "device": '"auto"',
    "memory": '"512M"',
    "bands": '"rgb"',
    "image_codec": '"raw"',
    "text_encoder": '"minilm"',
    "geometry_encoder": '"fourier"',
    "image_encoder": '"vit_b_16"',
    "stac_url": '"URL"',
    "format": '"geoparquet"',
    "dtype": '"float32"',
    "list_": '"fixed"',
    "host": '"127.0.0.1"',
    "basemap": '"URL"',
    "view": '"ground"',
    "by": '"image"',
}
TEXT_LISTS = ("keep_tags", "drop_tags", "attribution", "head", "tag", "like", "unlike", "space_")
