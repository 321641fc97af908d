"""A cache of the last frame's tiles, so that unchanged ones are not computed again."""

import numpy as np

from cvsr.image import Image
from cvsr.image.tiles import Tile


class TileMemory:
    """The tiles of one stage in the last frame: their input pixels and results."""

    def __init__(self) -> None:
        self._known: dict[Tile, tuple[Image, Image]] = {}
        self.reused = self.computed = 0

    def recall(self, tile: Tile, pixels: Image) -> Image | None:
        """Return the tile's result if its pixels equal those of the last frame."""
        known = self._known.get(tile)
        if known is None or known[0].dtype != pixels.dtype or not np.array_equal(known[0], pixels):
            return None
        self.reused += 1
        return known[1]

    def keep(self, tile: Tile, pixels: Image, result: Image) -> None:
        """Remember a tile. The pixels are copied: the caller's image may be the buffer of the next frame."""
        self.computed += 1
        self._known[tile] = pixels.copy(), result
