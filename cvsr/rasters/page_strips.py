"""Strips and tiles of TIFF files, read and decoded with tifffile and imagecodecs (extra ``tiff``)."""

import importlib
from typing import Any

import numpy as np

from cvsr.errors import FileError, OptionError, install_hint
from cvsr.image import Image

_SEPARATE = 2


def tifffile() -> Any:
    """Return the package. Raise OptionError, with the command that installs it, if it is missing."""
    try:
        return importlib.import_module("tifffile")
    except ImportError as error:
        raise OptionError(
            "files of several pages, and TIFFs larger than OpenCV or memory allows, are read with tifffile: "
            + install_hint("tiff")
        ) from error


def check_compression(page: Any, name: str) -> None:
    """Raise FileError if a codec is missing that a page of tifffile's needs."""
    codecs = tifffile().TIFF
    if int(page.predictor) not in codecs.UNPREDICTORS or int(page.compression) not in codecs.DECOMPRESSORS:
        raise _without_codec(page, name)


def _without_codec(page: Any, name: str) -> FileError:
    kind = getattr(page.compression, "name", page.compression)
    return FileError(f"{name}: its compression, {kind}, needs imagecodecs: {install_hint('tiff')}")


class Segments:
    """The strips, or the rows of tiles, of the pages of a ``tifffile.TiffFile`` whose samples are of ``dtype``.

    ``name`` is used in error messages; ``skip`` is the distance in bytes of the pixels from the offsets in the
    directory. All methods take tifffile's page, and raise FileError if what they read is damaged.
    """

    def __init__(self, file: Any, dtype: np.dtype[Any], name: str, skip: int = 0) -> None:
        self._file, self._dtype, self._name, self._skip = file, dtype, name, skip

    @staticmethod
    def height(page: Any) -> int:
        """Return how many rows each has, except for the last one."""
        return int(page.tilelength) if page.is_tiled else min(int(page.rowsperstrip), int(page.imagelength))

    def _bytes(self, offset: int, count: int) -> bytes:
        handle = self._file.filehandle
        handle.seek(offset + self._skip)
        data: bytes = handle.read(count)
        if len(data) < count:
            raise FileError(f"{self._name} is cut short: copy or download it again")
        return data

    def plain_rows(self, page: Any, strip: int, top: int, bottom: int) -> Image:
        """Return rows of an uncompressed strip. Only these are read: a strip may be the whole page."""
        width, samples = int(page.imagewidth), int(page.samplesperpixel)
        planes = samples if page.planarconfig == _SEPARATE else 1
        each = samples // planes
        row = width * each * self._dtype.itemsize
        strips = len(page.dataoffsets) // planes
        parts: list[Image] = []
        for plane in range(planes):
            offset = page.dataoffsets[plane * strips + strip]
            if offset == 0:  # a strip that was never written
                parts.append(np.zeros((bottom - top, width, each), self._dtype))
                continue
            data = self._bytes(offset + top * row, (bottom - top) * row)
            stored = np.frombuffer(data, self._dtype.newbyteorder(self._file.byteorder))
            parts.append(stored.astype(self._dtype, copy=False).reshape(bottom - top, width, each))
        return _bgr(parts[0] if planes == 1 else np.concatenate(parts, axis=2))

    def decoded(self, page: Any, row: int) -> Image:
        """Return the decoded strip, or the row of tiles, with that number: (h, W, samples)."""
        width, samples = int(page.imagewidth), int(page.samplesperpixel)
        planes = samples if page.planarconfig == _SEPARATE else 1
        wide = int(page.tilewidth) if page.is_tiled else width
        across = -(-width // wide)
        high = self.height(page)
        down = -(-int(page.imagelength) // high)
        height = min(high, int(page.imagelength) - row * high)
        result: Image = np.zeros((height, width, samples), self._dtype)
        for plane in range(planes):
            channels = slice(plane, plane + 1) if planes > 1 else slice(None)
            for column in range(across):
                index = (plane * down + row) * across + column
                if not page.databytecounts[index]:
                    continue
                data = self._bytes(page.dataoffsets[index], page.databytecounts[index])
                place = result[:, column * wide : (column + 1) * wide, channels]
                place[...] = self._decode(page, data, index)[: place.shape[0], : place.shape[1]]
        return _bgr(result)

    def _decode(self, page: Any, data: bytes, index: int) -> Image:
        """Return a strip or tile, (h, w, samples in it) in the file's order of channels."""
        tables = page.jpegtables
        try:
            segment, _, _ = page.decode(data, index, **({"jpegtables": tables} if tables else {}))
        except ImportError as error:  # of a codec that newer versions of Python have
            raise _without_codec(page, self._name) from error
        except Exception as error:  # each codec has errors of its own
            raise FileError(f"{self._name} is damaged: {error}") from error
        return segment[0]


def _bgr(rows: Image) -> Image:
    """Return (h, w, samples) with red and blue swapped if there is color: files have RGB."""
    return rows if rows.shape[2] < 3 else rows[..., [2, 1, 0, 3][: rows.shape[2]]]
