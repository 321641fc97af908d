"""Interpolations as a stage: at once if the image is in memory, else in bands of rows."""

from __future__ import annotations

import math

from cvsr.errors import MemoryBudgetError
from cvsr.image import Image, interpolation
from cvsr.inference.stages import ImageSource, Stage

_BAND = 16 << 20  # bytes of an interpolation's result to make at a time


def interpolated(source: Stage, size: tuple[int, int], method: str, max_memory: int | None, pixel: int) -> Stage:
    """Return the stage that interpolates ``source`` to ``size``: at once what is in memory, else in bands."""
    if isinstance(source, ImageSource):
        return ImageSource(interpolation.resize(source.image, size, method))
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
