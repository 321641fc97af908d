"""Pages of TIFF files, row by row: only the strips or tiles that contain the requested rows are read and decoded.

tifffile (extra ``tiff``) parses the layouts.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from cvsr.errors import FileError
from cvsr.image import Image
from cvsr.image.fill import Mask
from cvsr.io.reader import turn
from cvsr.io.tiff import directories
from cvsr.io.tiff.tags import ORIENTATION
from cvsr.rasters.page_strips import Segments, check_compression, tifffile

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCC = 0, 1, 2, 3, 6
_KINDS = {(1, _WHITE_IS_ZERO), (1, _BLACK_IS_ZERO), (1, _PALETTE), (3, _RGB), (4, _RGB), (3, _YCC)}
_NO_COMPRESSION, _JPEG = 1, 7


@contextmanager
def opened(source: Path | bytes) -> Generator[Any, None, None]:
    """Yield a ``tifffile.TiffFile`` of a path or of the bytes of a file. Raise FileError if it is not a TIFF file."""
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

    def __init__(self, file: Any, head: directories.Head, name: str) -> None:
        self.file = file
        self._name = name
        # a directory with many strips is long, and tifffile reads it again at each access
        self._load: Callable[[int], Any] = lru_cache(maxsize=1)(file.pages.__getitem__)
        self._found = list(head.at)
        self._size = 0
        if len(self._found) < head.pages:  # pictures without a directory of their own, one behind the other
            first, series = file.pages[0], file.series[0]
            self._size = int(first.nbytes)
            if len(self._found) != 1 or series.dataoffset is None or series.nbytes % self._size:
                raise FileError(f"{name}: {len(self._found)} of its {head.pages} pages can be located: save it again")
            self._found *= series.nbytes // self._size

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Page]:
        for number, at in enumerate(self._found):
            name = f"{self._name}, page {number + 1}" if len(self) > 1 else self._name
            yield Page(self.file, partial(self._load, at), name, number * self._size)


class Page:
    """One page as rows on demand: :class:`cvsr.rasters.normalize.Raw`.

    ``shape``: (H, W), (H, W, 3) BGR or (H, W, 4) BGRA; ``skip``: distance in bytes of its pixels from the
    offsets in its directory. Raise FileError if its pixels are of a kind that cannot be enlarged.
    """

    nodata: float | None = None

    def __init__(self, file: Any, load: Callable[[], Any], name: str, skip: int = 0) -> None:
        self._file, self._load, self._name = file, load, name
        page = self.page
        self._check(page)
        samples = int(page.samplesperpixel)
        height, width = int(page.imagelength), int(page.imagewidth)
        tag = page.tags.get(ORIENTATION)
        self.orientation = int(tag.value) if tag is not None and tag.value in range(2, 9) else 1
        self.shape: tuple[int, ...] = (height, width, samples) if samples > 1 else (height, width)
        self.dtype: np.dtype[Any] = np.dtype(page.dtype).newbyteorder("=")
        self._segments = Segments(file, self.dtype, name, skip)
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
            why = "its pixels are indexes into a palette"
        elif (samples, photometric) in _KINDS and (photometric != _YCC or page.compression == _JPEG):
            check_compression(page, self._name)
            return
        else:
            why = f"it has {samples} samples per pixel ({getattr(page.photometric, 'name', photometric)})"
        raise FileError(f"{self._name}: {why}: convert it to gray, RGB or RGBA of 8 or 16 bits or floats")

    @property
    def memory(self) -> int:
        """Return about how many bytes reading some rows needs, in addition to the rows themselves."""
        page = self.page
        row = int(page.imagewidth) * int(page.samplesperpixel) * self.dtype.itemsize
        if self.orientation >= 5:
            return row * int(page.imagelength)
        return 0 if self.uncompressed and not page.is_tiled else 4 * row * self._segments.height(page)

    def missing(self, start: int, stop: int) -> Mask | None:
        """Return None: a page of a stack has no missing pixels."""
        return None

    def rows(self, start: int, stop: int) -> Image:
        """Return the rows ``start:stop``, upright. Raise FileError if they are damaged."""
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
        high = self._segments.height(page)
        first, last = start // high, (stop - 1) // high
        samples = int(page.samplesperpixel)
        shape = (stop - start, int(page.imagewidth), *([samples] if samples > 1 else []))
        result: Image = np.empty(shape, self.dtype)
        for i in range(first, last + 1):
            top, bottom = max(start, i * high), min(stop, (i + 1) * high)
            if self.uncompressed and not page.is_tiled:
                part = self._segments.plain_rows(page, i, top - i * high, bottom - i * high)
            else:
                if i not in self._decoded:
                    self._decoded[i] = self._segments.decoded(page, i)
                part = self._decoded[i][top - i * high : bottom - i * high]
            result[top - start : bottom - start] = part.reshape(bottom - top, *shape[1:])
        for old in [i for i in self._decoded if i not in (last, last - 1, first)]:
            del self._decoded[old]
        return result
