"""Frames that follow each other: tiles that are as they were in the frame before are not computed again.

What a tile becomes depends on nothing but the pixels that its network sees, which are the tile's and those of the halo
around it: where all of them are byte for byte the same, so is the result. A deep network, which runs in segments, not
in tiles, is spared where the whole frame is the same; an upscaler that was given a ``tile`` runs it in tiles, too.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

import numpy as np

from cvsr.image import Image, check
from cvsr.inference.stages import Progress, Watch
from cvsr.inference.tile_cache import TileMemory

if TYPE_CHECKING:
    from cvsr.upscaler import Upscaler


class Sequence:
    """Enlarge the frames of a film, a camera or a screen one after the other; call it as the ``upscaler`` itself.

    The results are the same, bit for bit. It keeps the last frame and its result in memory. From one thread at a time.
    ``reused`` and ``computed`` count tiles.
    """

    def __init__(self, upscaler: Upscaler) -> None:
        self.upscaler = upscaler
        self._memories: dict[Hashable, TileMemory] = {}
        self._shape: tuple[int, ...] = ()
        self._last: tuple[Image, Image] | None = None  # a frame and its result, where no tiles were remembered

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
        progress: Callable[[Progress], object] | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> Image:
        """Return ``frame`` enlarged: see :meth:`cvsr.Upscaler.__call__`."""
        checked = check(frame)
        if checked.shape != self._shape:  # its tiles are others: those of the last would stay for nothing
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
