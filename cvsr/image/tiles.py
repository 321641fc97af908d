"""The geometry of tiles: which pixels to feed to the network and which of its results to keep.

A tile's result equals that of the whole image if the network gets the tile and a halo of the receptive field's radius
around it, cut off only at the edges of the image (both get the same padding there). Networks that halve the image
process its pixels in blocks: their tiles begin at the beginning of a block.
"""

import itertools
import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """One axis of a tile, in input pixels: feed ``begin:end`` and ``extra`` more, keep ``start:stop``.

    ``extra`` pixels, beyond the image's end, complete the last block; they repeat its last pixel.
    """

    start: int
    stop: int
    begin: int
    end: int
    extra: int = 0

    @property
    def keep(self) -> slice:
        """Return the slice of the kept pixels within the fed ones."""
        return slice(self.start - self.begin, self.stop - self.begin)

    @property
    def feed(self) -> slice:
        """Return the slice of the fed pixels within the image."""
        return slice(self.begin, self.end)


@dataclass(frozen=True)
class Tile:
    """One tile: its rows and columns in input pixels."""

    rows: Span
    columns: Span


def spans(
    size: int,
    tile: int,
    halo: int,
    start: int = 0,
    stop: int | None = None,
    *,
    multiple: int = 1,
    grain: int = 1,
    alike: bool = False,
) -> list[Span]:
    """Return the spans that cover ``start:stop`` of an axis of ``size`` pixels, each keeping at most ``tile`` of them.

    Their sizes differ by one block of ``multiple`` pixels at most, so that no sliver is left over at the end; what each
    feeds begins with a block and ends with one. ``start`` begins a block; ``tile`` may be exceeded by a part of one.
    What they feed begins at a multiple of ``grain``, and ends at one unless the axis ends before. ``alike``: those at
    the ends feed as many pixels as the others, more than they need: a net whose input changes its size allocates all
    of its memory again, which costs small ones up to a third of their time.
    """
    stop = size if stop is None else stop
    length = stop - start
    if length <= 0:
        return []
    blocks, halo = math.ceil(length / multiple), multiple * math.ceil(halo / multiple)
    count = math.ceil(blocks / max(1, tile // multiple))
    edges = [min(stop, start + multiple * (blocks * i // count)) for i in range(count + 1)]
    kept = [b - a for a, b in itertools.pairwise(edges)]
    # if tiles are smaller than their halo, moving what they feed inwards could let one begin before the one above it
    fed = multiple * math.ceil(max(kept) / multiple) + 2 * halo if alike and min(kept) >= halo else 0
    found = [_span(a, b, size, halo, multiple, fed) for a, b in itertools.pairwise(edges)]
    return [grained(span, size, grain) for span in found] if grain > 1 else found


def grained(span: Span, size: int, grain: int) -> Span:
    """Return a span that feeds a little more: from a multiple of ``grain`` on, and to one or to the axis's end."""
    begin, end = span.begin - span.begin % grain, min(size, grain * math.ceil(span.end / grain))
    return Span(span.start, span.stop, begin, end, span.extra)


def _span(start: int, stop: int, size: int, halo: int, multiple: int, fed: int) -> Span:
    """Return the span that keeps ``start:stop`` and feeds what it needs, or ``fed`` pixels if the axis has so many."""
    whole = multiple * math.ceil(size / multiple)
    begin, end = max(0, start - halo), min(whole, multiple * math.ceil(stop / multiple) + halo)
    if fed:
        begin = max(0, min(begin, whole - fed))
        end = min(whole, begin + fed)
    return Span(start, stop, begin, min(size, end), max(0, end - size))
