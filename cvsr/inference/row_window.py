"""A sliding window of rows over an array too tall for memory."""

from collections.abc import Callable
from typing import Any

import numpy as np

from cvsr.image import Image


class Window:
    """Some rows of a tall array: later ones are computed on demand, earlier ones are freed.

    Rows stay until all ``readers`` have :meth:`released` them. ``axis`` is the axis of the rows in the array, which
    has ``zoom`` rows for each row counted here.
    """

    def __init__(self, make: Callable[[int], None], axis: int, zoom: int = 1) -> None:
        """``make(stop)`` must call :meth:`grow` and fill the array that it returns."""
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
        """Note that a reader no longer needs rows above ``start``; free those that no reader needs."""
        self.readers[reader] = start
        least = min([*self.readers.values(), self.bottom])
        if 2 * (self.bottom - least) < self.bottom - self._top:
            self._data, self._top = self._part(least, self.bottom).copy(), least

    def grow(self, stop: int, shape: tuple[int, ...], dtype: Any = np.float32) -> Image:
        """Return an array to fill with the rows down to ``stop``; in ``shape``, the number of rows is ignored."""
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
