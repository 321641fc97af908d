"""A sliding window of rows over something too tall for memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cvsr.image import Image


class Window:
    """Some rows of something tall: later ones are made when they are asked for, earlier ones are forgotten.

    They stay as long as one of the ``readers`` has not :meth:`released` them. ``axis`` is that of the rows in the
    array; there are ``zoom`` rows in it for each that is counted.
    """

    def __init__(self, make: Callable[[int], None], axis: int, zoom: int = 1) -> None:
        """``make(stop)`` is to call :meth:`grow` and fill what that returns."""
        self._make, self._axis, self._zoom = make, axis, zoom
        self._data: Image = np.empty(0, np.float32)
        self._top = self.bottom = 0
        self.readers: dict[object, int] = {}

    def rows(self, start: int, stop: int) -> Image:
        """Return a view of the rows ``start:stop``."""
        if stop > self.bottom:
            self._make(stop)
        return self._part(start, stop)

    def released(self, reader: object, start: int) -> None:
        """Note that a reader needs no rows above ``start`` any more, and give back the memory of what nobody needs."""
        self.readers[reader] = start
        least = min([*self.readers.values(), self.bottom])
        if 2 * (self.bottom - least) < self.bottom - self._top:
            self._data, self._top = self._part(least, self.bottom).copy(), least

    def grow(self, stop: int, shape: tuple[int, ...], dtype: Any = np.float32) -> Image:
        """Return room for the rows down to ``stop``; ``shape`` is that of the array, whatever it says for the rows."""
        least = min([*self.readers.values(), self.bottom])
        kept = (self.bottom - least) * self._zoom
        sizes = list(shape)
        sizes[self._axis] = kept + (stop - self.bottom) * self._zoom
        data = np.empty(sizes, dtype)
        if kept:
            self._along(data, 0, kept)[:] = self._part(least, self.bottom)
        self._data, self._top, self.bottom = data, least, stop
        return self._along(data, kept, sizes[self._axis])

    def _part(self, start: int, stop: int) -> Image:
        return self._along(self._data, (start - self._top) * self._zoom, (stop - self._top) * self._zoom)

    def _along(self, data: Image, start: int, stop: int) -> Image:
        return data[start:stop] if self._axis == 0 else data[:, start:stop]
