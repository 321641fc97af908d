"""Interpolation as a stage: the whole image at once if it is in memory, else in bands of rows."""

import math

from cvsr.errors import MemoryBudgetError
from cvsr.image import Image, interpolation
from cvsr.inference.stages import ImageSource, Stage

_BAND = 16 << 20  # bytes of the result to compute at a time


def interpolated(source: Stage, size: tuple[int, int], method: str, max_memory: int | None, pixel: int) -> Stage:
    """Return the stage that interpolates ``source`` to ``size``: at once if it is in memory, else in bands."""
    if isinstance(source, ImageSource):
        return ImageSource(interpolation.resize(source.image, size, method))
    return Interpolated(source, size, method, max_memory, pixel)


class Interpolated:
    """An interpolation in bands that end where an input row and an output row end together.

    OpenCV computes the position of a row in float32 from the top. At scales of 2, 4, 8 … the result equals that of the
    whole image bit for bit; at others, positions drift further down, and 8 bits differ by at most one step.
    Raise MemoryBudgetError if such bands are too large.
    """

    def __init__(self, source: Stage, size: tuple[int, int], method: str, max_memory: int | None, pixel: int) -> None:
        self.source, self.size, self._method = source, size, method
        (_, height), (width, result) = source.size, size
        common = math.gcd(height, result)
        self._from, self._to = height // common, result // common
        halo = math.ceil(5 * max(1, height / result))  # Lanczos reads 4 pixels on each side, area a whole output pixel
        self._halo = self._from * math.ceil(halo / self._from)
        least = self._to * max(1, _BAND // (self._to * width * pixel))
        self._band = min(result, least)
        need = 2 * (self._band + 2 * self._halo * result // height) * width * pixel
        if max_memory is not None and need > max_memory:
            raise MemoryBudgetError(
                f"{method} from {height} to {result} rows computes {self._band} rows at a time, which takes "
                f"{need / 2**20:.0f} MB, but max_memory leaves {max_memory / 2**20:.0f} MB: raise it, or use a whole "
                "number as the scale"
            )

    def rows(self, start: int, stop: int) -> Image:
        """Return the rows, interpolated from their surroundings."""
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
