"""Makes demo cities with drawn images and street views, to train on some of them and to test on others.

Every seed makes another city, `city-SEED`, at another place: the cities are 64 tiles of zoom 16 apart (about 30 km).
So they share no zoom-14 tile, and a model cannot know the places of one from those of another. The river, the motorway,
the park and the airfield have the same plan in all cities. Prints the names of the regions.

    python benchmarks/demo_cities.py --workspace cities --seed 0 --seed 1
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from geojepa_cli import console
from geojepa_cli.demo.city import City, make_city
from geojepa_cli.demo.images import write_images
from geojepa_cli.demo.write import write_pbf
from geojepa_cli.sources.extract import inspect_extract
from geojepa_cli.sources.imagery import inspect_imagery
from geojepa_cli.stages.demo import ATTRIBUTION, SIZES, make_street_views
from geojepa_cli.stages.features import process
from geojepa_cli.stages.images import make_images
from geojepa_cli.stages.source import make_source
from geojepa_cli.stages.tiles import DEFAULT_ZOOM, make_tiles
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

APART = 64  # tiles of zoom 16 between the western edges of two cities; a multiple of four


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes the cities."""
    options = _options(arguments)
    workspace = Workspace(options.workspace)
    for seed in options.seed:
        if f"city-{seed}" not in workspace.names("photos"):  # what is made last
            make_region(workspace, options.size, seed, options.threads)
        console.note(f"city-{seed}")


def make_region(workspace: Workspace, size: str, seed: int, threads: int) -> Artifact:
    """Publishes the map, images, tiles, model inputs and street views of a city. Returns its `processed/` artifact."""
    city = moved_city(size, seed)
    with tempfile.TemporaryDirectory(prefix="geojepa-cities-") as name:
        folder = Path(name)
        write_pbf(city, folder / "city.osm.pbf")
        write_images(city, folder / "images")
        extract, images = inspect_extract(folder / "city.osm.pbf"), inspect_imagery(folder / "images")
        source = make_source(workspace, f"city-{seed}", extract, images, [ATTRIBUTION])
    tiles = make_tiles(workspace, source, threads=threads)
    make_images(workspace, source, zoom=DEFAULT_ZOOM)
    (processed,) = process(workspace, tiles, threads=threads)
    make_street_views(workspace, source, city)
    return processed


def moved_city(size: str, seed: int) -> City:
    """Returns the city of a seed, moved east by `APART` tiles per seed.

    The correct labels of its tiles keep the names of the tiles before the move.
    """
    city = make_city(size, seed)
    return dataclasses.replace(city, plan=dataclasses.replace(city.plan, west_tile=city.plan.west_tile + APART * seed))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path("cities"))
    parser.add_argument("--seed", type=int, action="append", required=True, help="seed of a city; can be repeated")
    parser.add_argument("--size", choices=SIZES, default="full", help="480 or 64 tiles")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
