"""Pictures that are never whole in memory: their rows are asked for, from the top down, and come from a file.

Whoever has ``shape``, ``dtype`` and ``rows`` can be enlarged by :meth:`cvsr.Upscaler.bands`.
"""

from __future__ import annotations

import math
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from cvsr import interpolation
from cvsr.errors import MemoryBudgetError
from cvsr.image import REACH, Image, filled, spread
from cvsr.pipeline import Source, Stage

_BLOCK = 4096  # columns to look for visible neighbours in at a time
_BAND = 16 << 20  # bytes of an interpolation's result to make at a time


@runtime_checkable
class Rows(Protocol):
    """A picture of ``shape``, as an image's, and ``dtype``, uint8, uint16 or float32 in 0..1, that gives rows."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (H, W), (H, W, 3) or (H, W, 4)."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the type of a sample."""
        ...

    def rows(self, start: int, stop: int) -> Image:
        """Return the rows ``start:stop``, as part of an image. Calls go from the top down, overlapping a little."""
        ...


class Part:
    """The stage at the start: the color of what has rows, or its alpha."""

    def __init__(self, picture: Rows, alpha: bool = False) -> None:
        self.picture, self.alpha = picture, alpha
        self.size = (picture.shape[1], picture.shape[0])

    def rows(self, start: int, stop: int) -> Image:
        """Return the rows. What is invisible has the color of what is visible beside it."""
        if self.picture.shape[2:] != (4,):
            return self.picture.rows(start, stop)
        if self.alpha:
            return np.ascontiguousarray(self.picture.rows(start, stop)[:, :, 3])
        first, last = max(0, start - REACH), min(self.size[1], stop + REACH)
        bgra = self.picture.rows(first, last)
        return neighbourly(bgra[:, :, :3], bgra[:, :, 3] <= 0)[start - first : stop - first]

    def edges(self) -> list[int]:
        """Return the bottom: any rows are as good as any others."""
        return [self.size[1]]


def neighbourly(pixels: Image, hidden: npt.NDArray[np.bool_]) -> Image:
    """Return ``pixels`` with those that are ``hidden`` replaced as :func:`cvsr.image.spread` does, block by block."""
    if not hidden.any():
        return np.ascontiguousarray(pixels)
    result = np.empty(pixels.shape, pixels.dtype)
    width = pixels.shape[1]
    for left in range(0, width, _BLOCK):
        begin, end = max(0, left - REACH), min(width, left + _BLOCK + REACH)
        part = spread(np.array(pixels[:, begin:end]), hidden[:, begin:end])
        result[:, left : left + _BLOCK] = part[:, left - begin : left - begin + _BLOCK]
    return result


def parts(image: Image | Rows) -> list[tuple[Stage, int]]:
    """Return what of an image is enlarged on its own, color and alpha, each with its bytes a pixel."""
    channels = image.shape[2] if len(image.shape) == 3 else 1
    one = image.dtype.itemsize
    if not isinstance(image, np.ndarray):
        if channels == 4:
            return [(Part(image), one * 3), (Part(image, alpha=True), one)]
        return [(Part(image), one * channels)]
    if channels == 4:
        return [(Source(filled(image)), one * 3), (Source(image[:, :, 3]), one)]
    return [(Source(image.reshape(image.shape[:2]) if channels == 1 else image), one * channels)]


def interpolated(source: Stage, size: tuple[int, int], method: str, max_memory: int | None, pixel: int) -> Stage:
    """Return the stage that interpolates ``source`` to ``size``: at once what is in memory, else in bands."""
    if isinstance(source, Source):
        return Source(interpolation.resize(source.image, size, method))
    return Interpolated(source, size, method, max_memory, pixel)


class Interpolated:
    """An interpolation in bands that end where an input row and an output row end together.

    OpenCV reckons a row's place in float32 from the top: at scales of 2, 4, 8 … the bits are those of the whole
    picture; at others, where its places are the more off the further down, 8 bits differ by one step at most.
    Raise MemoryBudgetError where such bands are too large.
    """

    def __init__(self, source: Stage, size: tuple[int, int], method: str, max_memory: int | None, pixel: int) -> None:
        self.source, self.size, self._method = source, size, method
        (_, height), (width, result) = source.size, size
        common = math.gcd(height, result)
        self._from, self._to = height // common, result // common
        halo = math.ceil(5 * max(1, height / result))  # Lanczos sees four pixels on each side, area all of a pixel
        self._halo = self._from * math.ceil(halo / self._from)
        least = self._to * max(1, _BAND // (self._to * width * pixel))
        self._band = min(result, least)
        need = 2 * (self._band + 2 * self._halo * result // height) * width * pixel
        if max_memory is not None and need > max_memory:
            raise MemoryBudgetError(
                f"{method} from {height} to {result} rows works on {self._band} rows at a time, which takes "
                f"{need / 2**20:.0f} MB, and max_memory leaves {max_memory / 2**20:.0f} MB: raise it, or take a whole "
                "number as the scale"
            )

    def rows(self, start: int, stop: int) -> Image:
        """Return the rows, interpolated from those around them."""
        _, height = self.source.size
        first, last = start // self._to * self._from, -(-stop // self._to) * self._from
        begin, end = max(0, first - self._halo), min(height, last + self._halo)
        fed = self.source.rows(begin, end)
        top = begin // self._from * self._to
        large = interpolation.resize(fed, (self.size[0], (end - begin) // self._from * self._to), self._method)
        return large[start - top : stop - top]

    def edges(self) -> list[int]:
        """Return where bands end."""
        return [*range(self._band, self.size[1], self._band), self.size[1]]


def nearest(start: int, stop: int, length: int, source: int) -> npt.NDArray[np.intp]:
    """Return which of ``source`` pixels lies under each of the pixels ``start:stop`` of ``length``."""
    return ((2 * np.arange(start, stop) + 1) * source // (2 * length)).astype(np.intp)
