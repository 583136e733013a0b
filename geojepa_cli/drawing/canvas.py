"""Paints shapes on a canvas that is finer than the image, and reduces the canvas to the image of a tile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from geojepa_cli.drawing.paints import Ink

OVERSAMPLING = 2
GRAIN = 28  # number of cells of coarse noise along the side of a tile

Ring = Sequence[float]  # x and y of each position in turn, in pixels of the canvas
Floats = npt.NDArray[np.float32]


class Canvas:
    """Drawing area of a tile. Each side has `OVERSAMPLING` times as many pixels as the image of the tile.

    The bands are red, green, blue and roughness. Roughness is the strength of the brightness noise, in grey levels. An
    optional fifth band is near infrared.
    """

    def __init__(self, size_px: int, ground: Ink) -> None:
        """Makes a canvas of one colour.

        Args:
            size_px: side length of the image, in pixels.
            ground: value of each band: four values, or five with near infrared.
        """
        self._size = (size_px, size_px)
        self.side = size_px * OVERSAMPLING
        self._planes = [Image.new("RGBX", (self.side, self.side), ground[:4])]
        self._planes += [Image.new("L", (self.side, self.side), band) for band in ground[4:]]
        self._pens = [ImageDraw.Draw(plane) for plane in self._planes]

    def area(self, rings: Sequence[Ring], ink: Ink, hole: Ink | None = None) -> None:
        """Paints a polygon.

        Args:
            rings: outer ring, followed by the inner rings.
            ink: colour of the polygon.
            hole: colour inside the inner rings. None to leave there what was painted before.
        """
        if hole is None and len(rings) > 1:
            self._area_with_holes(rings, ink)
            return
        for pen, value in zip(self._pens, _by_plane(ink), strict=True):
            pen.polygon(rings[0], fill=value)
        for ring in rings[1:]:
            for pen, value in zip(self._pens, _by_plane(hole or ink), strict=True):
                pen.polygon(ring, fill=value)

    def line(self, ring: Ring, ink: Ink, width_px: float) -> None:
        """Paints a line with round joints."""
        for pen, value in zip(self._pens, _by_plane(ink), strict=True):
            pen.line(ring, fill=value, width=max(1, round(width_px)), joint="curve")

    def disc(self, position: Ring, ink: Ink, width_px: float) -> None:
        """Paints a circle around a position."""
        (x, y), half = position, width_px / 2
        for pen, value in zip(self._pens, _by_plane(ink), strict=True):
            pen.ellipse((x - half, y - half, x + half, y + half), fill=value)

    def pixels(self, coarse: Floats, fine: npt.NDArray[np.floating], speckle: Floats | None = None) -> Floats:
        """Reduces the canvas to the size of the image, and adds noise to the brightness of each pixel.

        Args:
            coarse: smooth noise from −1 to 1. float32 [side, side]
            fine: noise from −1 to 1. [side, side]
            speckle: noise in grey levels, which does not depend on the roughness. float32 [side, side]

        Returns:
            Bands of the image: red, green, blue, and near infrared if the canvas has it. float32 [side, side, bands]
        """
        reduced = [
            np.asarray(plane.resize(self._size, Image.Resampling.BOX), dtype=np.float32) for plane in self._planes
        ]
        shade = np.rint(reduced[0][..., 3] * (0.6 * coarse + 0.6 * fine))
        if speckle is not None:
            shade += speckle
        bands = [reduced[0][..., :3], *(plane[..., None] for plane in reduced[1:])]
        return np.asarray(np.concatenate(bands, axis=2) + shade[..., None], dtype=np.float32)

    def _area_with_holes(self, rings: Sequence[Ring], ink: Ink) -> None:
        xs, ys = rings[0][0::2], rings[0][1::2]
        left, top = max(0, int(min(xs)) - 1), max(0, int(min(ys)) - 1)
        right, bottom = min(self.side, int(max(xs)) + 2), min(self.side, int(max(ys)) + 2)
        if left >= right or top >= bottom:
            return
        mask = Image.new("L", (right - left, bottom - top))
        pen = ImageDraw.Draw(mask)
        for ring, value in zip(rings, (255, *[0] * (len(rings) - 1)), strict=True):
            moved = list(ring)
            moved[0::2] = [x - left for x in ring[0::2]]
            moved[1::2] = [y - top for y in ring[1::2]]
            pen.polygon(moved, fill=value)
        for plane, band in zip(self._planes, _by_plane(ink), strict=True):
            plane.paste(band, (left, top, right, bottom), mask)


def enlarge(window: Floats, size_px: int, seamless: bool = False) -> Floats:
    """Interpolates noise to the size of an image: float32 [size_px, size_px].

    Args:
        window: noise at the corners of square cells. float32 [cells + 1, cells + 1]
        size_px: side length of the image.
        seamless: True to put the outer values of `window` exactly on the edges of the image. Then the noise of
            neighbouring tiles has no seam. False to put these values half a cell inside the image.
    """
    cells = len(window) - 1
    box = (0.5, 0.5, cells + 0.5, cells + 0.5) if seamless else None
    image = Image.fromarray(window).resize((size_px, size_px), Image.Resampling.BILINEAR, box=box)
    return np.asarray(image)


def fine_noise(generator: np.random.Generator, size_px: int) -> npt.NDArray[np.float64]:
    """Returns noise from −1 to 1 in blocks of 2 × 2 pixels: float64 [size_px, size_px]."""
    blocks = -(-size_px // 2)
    noise = generator.integers(-2, 3, size=(blocks, blocks)).repeat(2, axis=0).repeat(2, axis=1) / 2
    return np.asarray(noise[:size_px, :size_px])


def to_bytes(pixels: Floats) -> npt.NDArray[np.uint8]:
    """Limits pixel values to 0 … 255, and converts them to uint8. The shape stays the same."""
    return np.asarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _by_plane(ink: Ink) -> list[Ink | int]:
    """Splits a colour into the values of the image planes of a canvas.

    The first plane has four bands. An optional second plane has near infrared.
    """
    return [ink[:4], *ink[4:]]
