"""Stages that give the rows of a picture on demand, so that neither it nor what lies between must exist as a whole.

ImageSource ── Upscaled (network x2) ── Upscaled (network x2) ── Resized
rows() is asked at the right end; each stage asks the one before it for the rows that it needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cvsr.errors import Cancelled
from cvsr.image import PEAK, Image, resample, tiles
from cvsr.inference import processing


@dataclass(frozen=True)
class Progress:
    """What a progress callback gets: ``done`` of ``total`` steps, and the ``tile`` that was the last of them.

    Steps are tiles of an image, frames of a film, pages of a stack or groups of a map's bands; ``done`` of the last two
    has fractions. ``tile`` is None if steps are not tiles.
    """

    done: float
    total: int
    tile: tiles.Tile | None = None

    @property
    def share(self) -> float:
        """Return how much is done, from 0 to 1."""
        return min(self.done / max(self.total, 1), 1)

    def as_part(self, number: int, count: int) -> Progress:
        """Return the progress of ``count`` steps, of which ``number`` are done and this is the next."""
        return Progress(number + self.share, count)


Report = Callable[[Progress], object]
"""A caller's ``progress``."""


@dataclass
class Watch:
    """Counts tiles for the caller's ``progress``, and checks the caller's ``cancel`` before each."""

    progress: Report | None = None
    cancel: Callable[[], bool] | None = None
    total: int = 0
    done: int = 0

    def check(self) -> None:
        """Raise Cancelled if the caller wants to stop."""
        if self.cancel is not None and self.cancel():
            raise Cancelled(f"cancelled after {self.done} of {self.total} tiles")

    def finished(self, tile: tiles.Tile) -> None:
        """Count a tile and report it."""
        self.done += 1
        if self.progress is not None:
            self.progress(Progress(self.done, self.total, tile))


class Stage(Protocol):
    """A picture of ``size`` = (width, height) whose rows are computed on demand."""

    size: tuple[int, int]

    def rows(self, start: int, stop: int) -> Image:
        """Return the rows ``start:stop``. Calls go from the top down, and may overlap a little."""
        ...

    def edges(self) -> list[int]:
        """Return where bands of rows should end to avoid extra work, the last at the bottom."""
        ...


class ImageSource:
    """A picture in memory."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self.size = (image.shape[1], image.shape[0])

    def rows(self, start: int, stop: int) -> Image:
        """Return a view of the rows."""
        return self.image[start:stop]

    def edges(self) -> list[int]:
        """Return the bottom: the whole picture is in memory."""
        return [self.size[1]]


@dataclass
class Resized:
    """A stage resized by antialiased bicubic resampling, in the dtype of its source."""

    source: Stage
    size: tuple[int, int]

    def rows(self, start: int, stop: int) -> Image:
        """Return the rows, each computed from the source's rows under its filter."""
        # whole blocks of a fixed grid: a matrix product of another shape rounds differently
        top = start - start % resample.BLOCK
        bands = [self._band(a, min(a + resample.BLOCK, self.size[1])) for a in range(top, stop, resample.BLOCK)]
        whole = bands[0] if len(bands) == 1 else np.concatenate(bands)
        return whole[start - top : stop - top]

    def edges(self) -> list[int]:
        """Return where bands should end."""
        return [*range(resample.BLOCK * 4, self.size[1], resample.BLOCK * 4), self.size[1]]

    def _band(self, start: int, stop: int) -> Image:
        first, matrix = resample.weights(self.source.size[1], self.size[1], start, stop)
        fed = self.source.rows(first, first + matrix.shape[1])
        flat = fed.reshape(fed.shape[0], -1).astype(np.float32)
        rows = (matrix @ flat).reshape(stop - start, *fed.shape[1:])
        resized = resample.resize(rows, (self.size[0], stop - start))
        return processing.stored(resized * np.float32(1 / PEAK[fed.dtype.name]), fed.dtype.name)
