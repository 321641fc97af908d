"""Tiles of the last frame, so that those that have not changed are not computed again."""

from __future__ import annotations

import numpy as np

from cvsr.image import Image
from cvsr.image.tiles import Tile


class TileMemory:
    """What the tiles of one stage were in the last frame: the pixels that they saw, and what became of these."""

    def __init__(self) -> None:
        self._known: dict[Tile, tuple[Image, Image]] = {}
        self.reused = self.computed = 0

    def recall(self, tile: Tile, pixels: Image) -> Image | None:
        """Return the tile's result where its pixels are those of the last frame."""
        known = self._known.get(tile)
        if known is None or known[0].dtype != pixels.dtype or not np.array_equal(known[0], pixels):
            return None
        self.reused += 1
        return known[1]

    def keep(self, tile: Tile, pixels: Image, result: Image) -> None:
        """Remember a tile. The pixels are copied: the caller's image may be the buffer of the next frame."""
        self.computed += 1
        self._known[tile] = pixels.copy(), result
