"""Pure geometry: which pixels to feed to the network and which of its results to keep, tile by tile.

A tile's result equals the whole image's where the network saw all that it would have seen: the tile and a halo of the
receptive field's radius around it, cut off only where the image itself ends (there, both see the same padding).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """One axis of a tile, in input pixels: feed ``begin:end``, keep ``start:stop``."""

    start: int
    stop: int
    begin: int
    end: int

    @property
    def keep(self) -> slice:
        """Return where the kept pixels lie within the fed ones."""
        return slice(self.start - self.begin, self.stop - self.begin)

    @property
    def feed(self) -> slice:
        """Return the fed pixels within the image."""
        return slice(self.begin, self.end)


@dataclass(frozen=True)
class Tile:
    """One tile: its rows and columns in input pixels."""

    rows: Span
    columns: Span


def spans(size: int, tile: int, halo: int, start: int = 0, stop: int | None = None) -> list[Span]:
    """Return the spans that cover ``start:stop`` of an axis of ``size`` pixels, each keeping at most ``tile`` of them.

    Their sizes differ by one pixel at most, so that no sliver is left over at the end.
    """
    stop = size if stop is None else stop
    length = stop - start
    if length <= 0:
        return []
    count = math.ceil(length / tile)
    edges = [start + length * i // count for i in range(count + 1)]
    return [Span(a, b, max(0, a - halo), min(size, b + halo)) for a, b in itertools.pairwise(edges)]
