"""Consecutive frames: tiles that have not changed since the last frame are not computed again.

The result of a tile depends only on the pixels of the tile and of the halo around it: if all of them are the same, so
is the result. Deep networks run in segments, not in tiles, and are skipped if the whole frame is the same; with a
``tile``, the upscaler runs them in tiles, too.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

import numpy as np

from cvsr.image import Image, check
from cvsr.inference.stages import Report, Watch
from cvsr.inference.tile_cache import TileMemory

if TYPE_CHECKING:
    from cvsr.upscaler import Upscaler


class Sequence:
    """Enlarges the frames of a film, a camera or a screen one by one; call it like the ``upscaler`` itself.

    The results are the same, bit for bit. It keeps the last frame and its result in memory. Not for several threads.
    ``reused`` and ``computed`` count tiles.
    """

    def __init__(self, upscaler: Upscaler) -> None:
        self.upscaler = upscaler
        self._memories: dict[Hashable, TileMemory] = {}
        self._shape: tuple[int, ...] = ()
        self._last: tuple[Image, Image] | None = None  # a frame and its result, if there are no tiles

    @property
    def reused(self) -> int:
        """Return how many tiles were taken from the frame before."""
        return sum(memory.reused for memory in self._memories.values())

    @property
    def computed(self) -> int:
        """Return how many tiles a network has computed."""
        return sum(memory.computed for memory in self._memories.values())

    def __call__(
        self,
        frame: Image,
        *,
        max_memory: int | str | None = None,
        progress: Report | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> Image:
        """Return ``frame`` enlarged: see :meth:`cvsr.Upscaler.__call__`."""
        checked = check(frame)
        if checked.shape != self._shape:  # it has other tiles: the old ones are of no use
            self._memories.clear()
            self._last = None
            self._shape = checked.shape
        last = self._last
        if last is not None and last[0].dtype == checked.dtype and np.array_equal(last[0], checked):
            return last[1].copy()
        result = self.upscaler.picture(checked, Watch(progress, cancel), self._memory, max_memory=max_memory)
        if not self._memories and not self.upscaler.interpolates:  # copies take longer than to interpolate again
            self._last = checked.copy(), result.copy()
        return result

    def _memory(self, key: Hashable) -> TileMemory:
        return self._memories.setdefault(key, TileMemory())
