"""Position of the sun, colours of single elements, and near infrared in drawn images."""

from __future__ import annotations

import math
from collections.abc import Sequence

from geojepa_cli.drawing.chance import Purpose, chance
from geojepa_cli.drawing.paints import Colour
from geojepa_cli.grid import TileId

FLIGHT_ZOOM = 12  # the sun is the same in all tiles of a tile of this zoom
AZIMUTH_DEG, ELEVATION_DEG = (110.0, 250.0), (35.0, 60.0)  # of the sun, on the northern hemisphere


def shadow_shift(tile: TileId, seed: int) -> tuple[float, float]:
    """Returns the shadow of an object that is 1 m high: its length in metres to the east and in metres to the south.

    The sun is in the south on the northern hemisphere, and in the north on the southern hemisphere.
    """
    up = max(0, tile.z - FLIGHT_ZOOM)
    azimuth, elevation = (
        math.radians(low + float(chance(seed, purpose, tile.x >> up, tile.y >> up)) * (high - low))
        for purpose, (low, high) in ((Purpose.SUN_AZIMUTH, AZIMUTH_DEG), (Purpose.SUN_ELEVATION, ELEVATION_DEG))
    )
    south = math.cos(azimuth) if tile.y < 1 << (tile.z - 1) else -math.cos(azimuth)
    return -math.sin(azimuth) / math.tan(elevation), south / math.tan(elevation)


def vary(colour: Colour, change: Sequence[float], jitter: float) -> Colour:
    """Changes a colour at random: its brightness by up to 3/4 of `jitter`, and each band by up to another 1/4.

    Args:
        colour: red, green and blue.
        change: four random numbers from 0 to 1: for the brightness, and for each band.
        jitter: largest change of a band, in grey levels.
    """
    common = 0.75 * (2 * change[0] - 1)
    red, green, blue = (
        min(max(round(band + jitter * (common + 0.25 * (2 * own - 1))), 0), 255)
        for band, own in zip(colour, change[1:], strict=True)
    )
    return red, green, blue


def infrared(colour: Colour) -> int:
    """Returns a near infrared value for a colour.

    The value is high for green colours (vegetation) and low for blue ones (water). For all other colours, it is the
    mean of the bands. A colour is green if its excess green index, 2 · green − red − blue, is positive (Woebbecke et
    al. 1995). The values are a rule of thumb, not measurements.
    """
    red, green, blue = colour
    mean, excess = (red + green + blue) / 3, 2 * green - red - blue
    if blue > red + 15 and excess < 20 and mean < 110:
        return int(0.3 * mean)
    return int(min(mean + 2.5 * max(excess, 0), 255))
