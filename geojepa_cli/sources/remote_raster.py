"""Opens a GeoTIFF on a server with rasterio.

GDAL reads the file through rasterio's opener and requests all blocks of a window in one call, so no byte between them
is read. GDAL's own network layer reads in larger chunks, and neither counts nor signs requests.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from geojepa_cli.errors import DataError, GeojepaError
from geojepa_cli.sources.ranges import FETCH_NAIP, HEADER_CHUNK, RangeReader

_serial = itertools.count()
_open_files: set[_File] = set()  # GDAL holds pointers to them that Python does not count


class RemoteRaster:
    """One file on a server, for rasterio.

    Attributes:
        failure: the first error. It has to be checked after every read, because GDAL turns some errors into pixels.
    """

    def __init__(self, reader: RangeReader, href: str) -> None:
        self.reader, self.href = reader, href
        self.failure: GeojepaError | None = None

    def open(self) -> Any:
        """Returns the opened dataset, named after the href.

        Raises:
            OfflineError, DataError: from the server.
            rasterio.errors.RasterioError: not a GeoTIFF.
        """
        import rasterio
        from rasterio.abc import MultiByteRangeResourceContainer

        MultiByteRangeResourceContainer.register(_Container)
        name = self.href.partition("?")[0].rpartition("/")[2]
        # a folder for every dataset: rasterio finds its openers by the folder
        path, container = f"remote-{next(_serial)}/{name}", _Container(self, name)
        # some other drivers would follow names in the file to local files
        return rasterio.open(path, driver="GTiff", opener=container)

    def guard(self, call: Callable[[], Any], default: Any) -> Any:
        """Calls a function; on an error, records it and returns `default`, because no exception passes through GDAL.

        After the first error nothing is called any more: GDAL reads several times before it gives up.
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
    """The folder that GDAL sees: it holds one file."""

    def __init__(self, raster: RemoteRaster, name: str) -> None:
        self._raster, self._name = raster, name

    def open(self, path: str, mode: str = "rb", **_: Any) -> _File:
        if not self.isfile(path):
            raise FileNotFoundError(path)  # GDAL looks for masks and overviews next to every file
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
    """The file that GDAL reads. After an error it reads nothing, and GDAL ends with its own error."""

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
        # rasterio copies as many bytes as were requested, so a failed read returns zeros; `failure` records it
        zeros = [bytes(size) for size in sizes]
        found: list[bytes] = self._raster.guard(lambda: self._read_whole(ranges), zeros)
        return found

    def _read_whole(self, ranges: list[tuple[int, int]]) -> list[bytes]:
        found = self._reader.read_ranges(self._href, ranges)
        if any(len(data) != end - start for data, (start, end) in zip(found, ranges, strict=True)):
            raise DataError(f"`{self._href}` is truncated: its pixels end after the file", FETCH_NAIP)
        return found
