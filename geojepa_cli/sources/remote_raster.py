"""Opens a GeoTIFF on a server with rasterio.

GDAL reads the file through a Python object, called an opener in rasterio. To read a window of the image, GDAL asks the
opener for all blocks of the window in one call. So blocks that are close together can be fetched in one request, and
the rest of the file is not fetched. GDAL's own network code is not used, because it reads more bytes than needed and
can neither count nor sign requests.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from geojepa_cli.errors import DataError, GeojepaError
from geojepa_cli.sources.ranges import FETCH_NAIP, HEADER_CHUNK, RangeReader

_serial = itertools.count()
_open_files: set[_File] = set()  # keeps the files alive: GDAL's pointers do not count as Python references


class RemoteRaster:
    """A GeoTIFF on a server that rasterio can open.

    Attributes:
        failure: first error while reading, or None. Check this attribute after every read, because GDAL may return
            pixels despite an error.
    """

    def __init__(self, reader: RangeReader, href: str) -> None:
        self.reader, self.href = reader, href
        self.failure: GeojepaError | None = None

    def open(self) -> Any:
        """Opens the file and returns the rasterio dataset.

        Raises:
            rasterio.errors.RasterioError: the file cannot be read or is not a GeoTIFF. If the server caused the error,
                the attribute `failure` holds the error of the server.
        """
        import rasterio
        from rasterio.abc import MultiByteRangeResourceContainer

        MultiByteRangeResourceContainer.register(_Container)
        name = self.href.partition("?")[0].rpartition("/")[2]
        # Every dataset has another folder, because rasterio finds the opener of a file by its folder.
        path, container = f"remote-{next(_serial)}/{name}", _Container(self, name)
        # Only the GeoTIFF driver is allowed. Some other drivers open local files that the file refers to.
        return rasterio.open(path, driver="GTiff", opener=container)

    def guard(self, call: Callable[[], Any], default: Any) -> Any:
        """Calls a function and returns its result. If the function raises an error, returns `default` instead.

        The error is stored in the attribute `failure`, because exceptions cannot pass through GDAL. After the first
        error, every later call returns `default` without calling the function. Otherwise each failed read would be
        repeated, because GDAL tries again.
        """
        if self.failure is not None:
            return default
        try:
            return call()
        except GeojepaError as error:
            self.failure = self.failure or error
        except Exception as error:
            self.failure = self.failure or DataError(f"`{self.href}` cannot be read: {error}", FETCH_NAIP)
        return default


class _Container:
    """Virtual folder that contains one file, the GeoTIFF on the server. GDAL opens the file in this folder."""

    def __init__(self, raster: RemoteRaster, name: str) -> None:
        self._raster, self._name = raster, name

    def open(self, path: str, mode: str = "rb", **_: Any) -> _File:
        if not self.isfile(path):
            raise FileNotFoundError(path)  # GDAL looks for mask and overview files next to every file
        file = _File(self._raster)
        _open_files.add(file)
        return file

    def isfile(self, path: str) -> bool:
        return path.rpartition("/")[2] == self._name

    def isdir(self, path: str) -> bool:
        return False

    def ls(self, path: str) -> list[str]:
        return []

    def mtime(self, path: str) -> int:
        return 0

    def rm(self, path: str) -> None:
        raise PermissionError(path)

    def size(self, path: str) -> int:
        if not self.isfile(path):
            raise FileNotFoundError(path)
        size: int = self._raster.guard(lambda: self._raster.reader.size(self._raster.href), 0)
        return size


class _File:
    """File object from which GDAL reads. After an error, reads return no data, so that GDAL fails too."""

    def __init__(self, raster: RemoteRaster) -> None:
        self._raster, self._reader, self._href, self._position = raster, raster.reader, raster.href, 0

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        _open_files.discard(self)

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = 0) -> int:
        size = self._raster.guard(lambda: self._reader.size(self._href), 0) if whence == io.SEEK_END else 0
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: size}[whence]
        return self._position

    def read(self, length: int = -1) -> bytes:
        data: bytes = self._raster.guard(lambda: self._read(length), b"")
        self._position += len(data)
        return data

    def _read(self, length: int) -> bytes:
        end = self._reader.size(self._href) if length < 0 else self._position + length
        if end - self._position < HEADER_CHUNK:
            return self._reader.read_header(self._href, self._position, end - self._position)
        return self._reader.read_ranges(self._href, [(self._position, end)])[0]

    def get_byte_ranges(self, offsets: Sequence[int], sizes: Sequence[int]) -> list[bytes]:
        ranges = [(start, start + size) for start, size in zip(offsets, sizes, strict=True)]
        # rasterio copies as many bytes as it requested, so a failed read must return zeros. `failure` has the error.
        zeros = [bytes(size) for size in sizes]
        found: list[bytes] = self._raster.guard(lambda: self._read_whole(ranges), zeros)
        return found

    def _read_whole(self, ranges: list[tuple[int, int]]) -> list[bytes]:
        found = self._reader.read_ranges(self._href, ranges)
        if any(len(data) != end - start for data, (start, end) in zip(found, ranges, strict=True)):
            raise DataError(f"`{self._href}` is truncated: pixel data extends past the end of the file", FETCH_NAIP)
        return found
