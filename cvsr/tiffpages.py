"""Pages of TIFF files, row by row: only the strips or tiles under the rows that are asked for are read and decoded.

tifffile (extra ``tiff``) knows the layouts and most compressions; what it needs more packages for, OpenCV decodes.
"""

from __future__ import annotations

import importlib
import io
import struct
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from cvsr import tiffhead
from cvsr._cv2 import cv2
from cvsr.errors import FileError, OptionError
from cvsr.files import turn
from cvsr.image import Image
from cvsr.samples import Mask
from cvsr.tiff import EXTRA_SAMPLES, ORIENTATION, PHOTOMETRIC, pack_file

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCC = 0, 1, 2, 3, 6
_KINDS = {(1, _WHITE_IS_ZERO), (1, _BLACK_IS_ZERO), (1, _PALETTE), (3, _RGB), (4, _RGB), (3, _YCC)}
_NO_COMPRESSION, _JPEG = 1, 7
_SEPARATE = 2
_SHORT, _LONG, _UNDEFINED = 3, 4, 7


def tifffile() -> Any:
    """Return the package. Raise OptionError, saying what to type, where it is missing."""
    try:
        return importlib.import_module("tifffile")
    except ImportError as error:
        raise OptionError(
            "files of several pages, and TIFFs larger than OpenCV or memory allows, are read with tifffile: "
            'pip install "cvsr[tiff]"'
        ) from error


@contextmanager
def opened(source: Path | bytes) -> Generator[Any, None, None]:
    """Give a ``tifffile.TiffFile`` of a path or of the bytes of a file. Raise FileError where it is none."""
    module = tifffile()
    name = "the data" if isinstance(source, bytes) else str(source)
    try:
        found = module.TiffFile(io.BytesIO(source) if isinstance(source, bytes) else source)
    except (OSError, ValueError, module.TiffFileError, struct.error) as error:
        raise FileError(f"{name} cannot be read as TIFF: {error}") from error
    with found:
        yield found


class Pages:
    """The pages of a ``tifffile.TiffFile``, without smaller copies and masks; each iteration makes them anew."""

    def __init__(self, file: Any, head: tiffhead.Head, name: str) -> None:
        self.file = file
        self._name = name
        # a directory is long where strips are many, and tifffile reads it again at each access
        self._load: Callable[[int], Any] = lru_cache(maxsize=1)(file.pages.__getitem__)
        self._found = list(head.at)
        self._size = 0
        if len(self._found) < head.pages:  # pictures without a directory of their own, one behind the other
            first, series = file.pages[0], file.series[0]
            self._size = int(first.nbytes)
            if len(self._found) != 1 or series.dataoffset is None or series.nbytes % self._size:
                raise FileError(f"{name}: {len(self._found)} of its {head.pages} pages have a place: save it again")
            self._found *= series.nbytes // self._size

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Page]:
        for number, at in enumerate(self._found):
            name = f"{self._name}, page {number + 1}" if len(self) > 1 else self._name
            yield Page(self.file, partial(self._load, at), name, number * self._size)


class Page:
    """One page as rows on demand: :class:`cvsr.samples.Raw`.

    ``shape``: (H, W), (H, W, 3) BGR or (H, W, 4) BGRA; ``skip``: bytes between its pixels and where its directory says
    that they are. Raise FileError where its pixels are of a kind that cannot be enlarged.
    """

    nodata: float | None = None

    def __init__(self, file: Any, load: Callable[[], Any], name: str, skip: int = 0) -> None:
        self._file, self._load, self._name, self._skip = file, load, name, skip
        page = self.page
        self._check(page)
        samples = int(page.samplesperpixel)
        height, width = int(page.imagelength), int(page.imagewidth)
        tag = page.tags.get(ORIENTATION)
        self.orientation = int(tag.value) if tag is not None and tag.value in range(2, 9) else 1
        self.shape: tuple[int, ...] = (height, width, samples) if samples > 1 else (height, width)
        self.dtype: np.dtype[Any] = np.dtype(page.dtype).newbyteorder("=")
        self.uncompressed = int(page.compression) == _NO_COMPRESSION
        if self.orientation >= 5:
            self.shape = (width, height, *self.shape[2:])
        self._turned: Image | None = None
        self._decoded: dict[int, Image] = {}

    @property
    def page(self) -> Any:
        """Return tifffile's page."""
        return self._load()

    def _check(self, page: Any) -> None:
        samples, photometric = int(page.samplesperpixel), int(page.photometric)
        if page.dtype is None or int(page.bitspersample) != 8 * np.dtype(page.dtype).itemsize or page.imagedepth > 1:
            why = f"its samples have {page.bitspersample} bits"
        elif photometric == _PALETTE and not self._file.is_imagej:
            why = "its pixels are numbers of colors in a palette"
        elif (samples, photometric) in _KINDS and (photometric != _YCC or page.compression == _JPEG):
            return
        else:
            why = f"it has {samples} samples a pixel ({getattr(page.photometric, 'name', photometric)})"
        raise FileError(f"{self._name}: {why}: convert it to gray, RGB or RGBA of 8 or 16 bits or floats")

    @property
    def memory(self) -> int:
        """Return about how many bytes reading some rows takes, on top of them."""
        page = self.page
        row = int(page.imagewidth) * int(page.samplesperpixel) * self.dtype.itemsize
        if self.orientation >= 5:
            return row * int(page.imagelength)
        return 0 if self.uncompressed and not page.is_tiled else 4 * row * self._height_of_segment(page)

    def missing(self, start: int, stop: int) -> Mask | None:
        """Return None: a page of a stack is measured all over."""
        return None

    def rows(self, start: int, stop: int) -> Image:
        """Return the rows ``start:stop``, upright. Raise FileError where they are damaged."""
        height = self.shape[0]
        if self.orientation >= 5:  # rows are columns of the file: all of it is needed for any
            if self._turned is None:
                self._turned = turn(self._stored(0, self.shape[1]), self.orientation)
            return np.ascontiguousarray(self._turned[start:stop])
        upside_down = self.orientation in (3, 4)
        rows = self._stored(height - stop, height - start) if upside_down else self._stored(start, stop)
        return rows if self.orientation == 1 else np.ascontiguousarray(turn(rows, self.orientation))

    def _stored(self, start: int, stop: int) -> Image:
        page = self.page
        high = self._height_of_segment(page)
        first, last = start // high, (stop - 1) // high
        samples = int(page.samplesperpixel)
        shape = (stop - start, int(page.imagewidth), *([samples] if samples > 1 else []))
        result: Image = np.empty(shape, self.dtype)
        for i in range(first, last + 1):
            top, bottom = max(start, i * high), min(stop, (i + 1) * high)
            if self.uncompressed and not page.is_tiled:
                part = self._plain_rows(page, i, top - i * high, bottom - i * high)
            else:
                if i not in self._decoded:
                    self._decoded[i] = self._segments(page, i)
                part = self._decoded[i][top - i * high : bottom - i * high]
            result[top - start : bottom - start] = part.reshape(bottom - top, *shape[1:])
        for old in [i for i in self._decoded if i not in (last, last - 1, first)]:
            del self._decoded[old]
        return result

    @staticmethod
    def _height_of_segment(page: Any) -> int:
        return int(page.tilelength) if page.is_tiled else min(int(page.rowsperstrip), int(page.imagelength))

    def _bytes(self, offset: int, count: int) -> bytes:
        handle = self._file.filehandle
        handle.seek(offset + self._skip)
        data: bytes = handle.read(count)
        if len(data) < count:
            raise FileError(f"{self._name} is cut short: copy or download it again")
        return data

    def _plain_rows(self, page: Any, strip: int, top: int, bottom: int) -> Image:
        """Return rows of a strip that is not compressed. No more than they are read: a strip may be the whole page."""
        width, samples = int(page.imagewidth), int(page.samplesperpixel)
        planes = samples if page.planarconfig == _SEPARATE else 1
        each = samples // planes
        row = width * each * self.dtype.itemsize
        strips = len(page.dataoffsets) // planes
        parts: list[Image] = []
        for plane in range(planes):
            offset = page.dataoffsets[plane * strips + strip]
            if offset == 0:  # a strip that was never written
                parts.append(np.zeros((bottom - top, width, each), self.dtype))
                continue
            data = self._bytes(offset + top * row, (bottom - top) * row)
            stored = np.frombuffer(data, self.dtype.newbyteorder(self._file.byteorder))
            parts.append(stored.astype(self.dtype, copy=False).reshape(bottom - top, width, each))
        return _bgr(parts[0] if planes == 1 else np.concatenate(parts, axis=2))

    def _segments(self, page: Any, row: int) -> Image:
        """Return the decoded strip, or the row of tiles, with that number: (h, W, samples)."""
        width, samples = int(page.imagewidth), int(page.samplesperpixel)
        planes = samples if page.planarconfig == _SEPARATE else 1
        wide = int(page.tilewidth) if page.is_tiled else width
        across = -(-width // wide)
        high = self._height_of_segment(page)
        down = -(-int(page.imagelength) // high)
        height = min(high, int(page.imagelength) - row * high)
        high = high if page.is_tiled else height
        result: Image = np.zeros((height, width, samples), self.dtype)
        for plane in range(planes):
            channels = slice(plane, plane + 1) if planes > 1 else slice(None)
            for column in range(across):
                index = (plane * down + row) * across + column
                if not page.databytecounts[index]:
                    continue
                data = self._bytes(page.dataoffsets[index], page.databytecounts[index])
                place = result[:, column * wide : (column + 1) * wide, channels]
                place[...] = self._decode(page, data, index, (high, wide))[: place.shape[0], : place.shape[1]]
        return _bgr(result)

    def _decode(self, page: Any, data: bytes, index: int, size: tuple[int, int]) -> Image:
        """Return a strip or tile, (h, w, samples in it) in the file's order of channels."""
        module = tifffile()
        try:
            if int(page.predictor) in module.TIFF.UNPREDICTORS and int(page.compression) in module.TIFF.DECOMPRESSORS:
                tables = page.jpegtables
                segment, _, _ = page.decode(data, index, **({"jpegtables": tables} if tables else {}))
                return segment[0]
        except Exception as error:  # each codec has errors of its own
            raise FileError(f"{self._name} is damaged: {error}") from error
        return self._decode_by_opencv(page, data, *size)

    def _decode_by_opencv(self, page: Any, data: bytes, height: int, width: int) -> Image:
        """Return a strip or tile as OpenCV decodes it: as the only one of a file made for the purpose."""
        samples = 1 if page.planarconfig == _SEPARATE else int(page.samplesperpixel)
        tags: dict[int, tuple[int, list[int] | bytes]] = {
            256: (_LONG, [width]),
            257: (_LONG, [height]),
            258: (_SHORT, [8 * self.dtype.itemsize] * samples),
            259: (_SHORT, [int(page.compression)]),
            PHOTOMETRIC: (_SHORT, [_BLACK_IS_ZERO if samples == 1 else int(page.photometric)]),
            277: (_SHORT, [samples]),
            278: (_LONG, [height]),
            317: (_SHORT, [int(page.predictor)]),
            339: (_SHORT, [3 if self.dtype.kind == "f" else 1] * samples),
        }
        if samples == 4:
            tags[EXTRA_SAMPLES] = (_SHORT, [1])  # so that its color is not multiplied by its alpha
        if page.jpegtables:
            tags[347] = (_UNDEFINED, page.jpegtables)
        file = pack_file(tags, data, self._file.byteorder)
        try:
            found = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error:
            found = None
        if found is None or found.dtype.itemsize != self.dtype.itemsize:
            name = getattr(page.compression, "name", page.compression)
            raise FileError(
                f"{self._name} is damaged, or its compression ({name}) is one that neither tifffile nor OpenCV decodes "
                "here: pip install imagecodecs"
            )
        return _bgr(found.view(self.dtype).reshape(height, width, samples))


def _bgr(rows: Image) -> Image:
    """Return (h, w, samples) with red and blue swapped where there is color: a file has RGB."""
    return rows if rows.shape[2] < 3 else rows[..., [2, 1, 0, 3][: rows.shape[2]]]
