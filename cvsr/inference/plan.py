"""Plan a call: which model scales in turn, which tiles or segments, how many at a time, within a memory budget."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cvsr import machine
from cvsr.errors import MemoryBudgetError, ModelError, OptionError
from cvsr.inference import processing
from cvsr.modelfiles.info import ModelInfo

if TYPE_CHECKING:
    from cvsr.inference.segments import Segment

_MUCH = 2**30  # bytes that are worth a warning
DEEP = 16
"""Below this radius, the halo of tiles costs less than storing the feature maps between segments."""
_MAPS = 2**28  # bytes for the feature maps of a deep network without a budget
_LARGE_CACHE = 2**21  # bytes
_TILES = (224, 192, 160, 128, 96, 80, 64, 48, 32, 16)


def chain(scales: list[int], factor: float) -> list[int]:
    """Return the model scales to run in turn to reach ``factor``: the fewest, and of these the smallest."""
    if factor <= 1:
        return []
    if max(scales) < 2:
        raise ModelError(f"the model has scale {max(scales)}: it cannot reach a scale of {factor:g}")
    for steps in itertools.count(1):
        rows = itertools.combinations_with_replacement(sorted(scales, reverse=True), steps)
        reached = [row for row in rows if math.prod(row) >= factor - 1e-9]
        if reached:
            return list(min(reached, key=math.prod))
    raise AssertionError("unreachable")


@dataclass(frozen=True)
class TilePlan:
    """Tiles of ``tile`` = (width, height) with a ``halo``, ``workers`` at a time, ``group`` rows of tiles together."""

    tile: tuple[int, int]
    halo: int
    workers: int
    group: int


def tiles(
    info: ModelInfo,
    size: tuple[int, int],
    pixel: int,
    *,
    threads: int,
    tile: int | None,
    max_memory: int | None,
    best: int | None = None,
) -> TilePlan:
    """Return the plan for an image of ``size`` = (width, height) and ``pixel`` bytes a pixel within ``max_memory``.

    ``tile``: the requested side, 0 for the whole image, None for ``best``, the side measured on this machine, or if
    that is None too, the default. Raises MemoryBudgetError.
    """
    _check_whole(info, size, pixel, tile, max_memory)
    halo = max(info.radius or 0, processing.CHROMA_HALO)
    least = 0
    for side in _sides(info, halo, tile, best):
        for workers in range(threads, 0, -1):
            plan, need = _plan(info, size, pixel, (side, halo, workers), max_memory)
            if max_memory is None or need <= max_memory:
                return plan
            least = min(least, need) or need
    width, height = size
    raise MemoryBudgetError(
        f"{info.name} needs at least {least / 2**20:.0f} MB to upscale {width}x{height} pixels, but max_memory leaves "
        f"{(max_memory or 0) / 2**20:.0f} MB: raise it"
        + ("" if info.radius is not None else "; a model with a known receptive field could run in tiles")
    )


@dataclass(frozen=True)
class SegmentPlan:
    """Segments of a deep network: tiles of ``tile`` x ``rows``, one after the other, and a result in bands.

    One net at a time uses all of OpenCV's threads: as fast as two nets on one thread each, with half the memory.
    ``band``: rows of the image to enlarge at a time.
    """

    tile: int
    rows: int
    band: int

    def rows_of(self, segment: Segment) -> int:
        """Return how many rows a segment computes at a time: fewer if it has more channels."""
        return max(8, self.rows * 64 // max(64, *segment.channels))


def segments(
    info: ModelInfo, parts: Sequence[Segment], size: tuple[int, int], *, max_memory: int | None
) -> SegmentPlan | None:
    """Return how to run a network in segments over an image of ``size`` = (width, height).

    None if tiles of the whole network are better: if the feature maps would exceed the memory, or one tile is enough.
    """
    width, height = size
    tile = _best(info, 0)  # a row of maps does not stay in the cache
    if max(width, height) <= tile:
        return None
    unit = info.scale if info.inputs == "bicubic" else 1
    for rows in (96, 64, 48, 32, 24, 16):
        how = SegmentPlan(tile, rows, max(8, rows // 4 // unit))
        if _streams_memory(info, parts, width * unit, how) <= (max_memory or _MAPS):
            return how
    return None


def _streams_memory(info: ModelInfo, parts: Sequence[Segment], width: int, how: SegmentPlan) -> int:
    """Return an estimate of the bytes that segments need for rows of ``width`` pixels."""
    nets = maps = most = enlarged = 0
    skip = sum(part.radius for part in parts) + how.rows
    zoom = 1
    for part in parts:
        wide, row = max(part.channels), width * zoom * sum(part.channels)
        if part.shuffle:
            zoom *= part.shuffle
            enlarged += row * part.shuffle**2 * how.band
            continue
        rows = how.rows_of(part)
        # Winograd's weights are seven times those of the file; layers share three buffers
        nets += 8 * len(part.onnx) + 4 * 4 * wide * (how.tile + 8) * (rows + 8)
        maps += row * 2 * part.radius
        most = max(most, row * rows)
        if len(part.inputs) > 1:
            maps += width * parts[0].channels[0] * skip
    return nets + 4 * (maps + 2 * most + 2 * enlarged)


def _check_whole(info: ModelInfo, size: tuple[int, int], pixel: int, tile: int | None, max_memory: int | None) -> None:
    """Raise or warn if the model can only run on the whole image and that conflicts with a tile, or is expensive."""
    if info.radius is not None:
        return
    why = f"{info.name} runs on the whole image only: its receptive field is unknown or global"
    if tile and tile < max(size):
        raise OptionError(f"{why}. Omit tile, or pass radius to cvsr.open_model if you know it")
    _, need = _plan(info, size, pixel, (0, processing.CHROMA_HALO, 1), None)
    if max_memory is None and need > _MUCH:
        about = f"about {need / 2**20:.0f} MB for {size[0]}x{size[1]} pixels"
        warnings.warn(f"{why}: {about}. Set max_memory to limit it", RuntimeWarning, stacklevel=4)


def _sides(info: ModelInfo, halo: int, tile: int | None, best: int | None) -> list[int]:
    """Return the sides of tiles to try, best first; 0 is the whole image."""
    if info.radius is None:  # only the whole image is sure to give the right result
        return [0]
    if tile is not None:
        return [tile]
    # deep networks: a halo that is large compared with the tile is computed many times
    first = [best] if best else [min(512, halo * 8)] if halo > 16 else []
    best = best or _best(info, machine.cache())
    return first + [side for side in _TILES if side <= best and side * 8 >= halo]


def side(info: ModelInfo, tile: int | None) -> int:
    """Return the side of tiles if neither memory nor the image's size limits it: 0 for the whole image."""
    return _sides(info, max(info.radius or 0, processing.CHROMA_HALO), tile, None)[0]


def _best(info: ModelInfo, cache: int) -> int:
    """Return the fastest of _TILES, within 5 %, on 4.14 and 5.0: larger exceed the cache, smaller are mostly halo.

    Measured with a second-level cache of 1 MB (AMD Zen 5) and of 2 MB (Intel Sapphire Rapids).
    """
    large = cache >= _LARGE_CACHE
    if info.width <= 20:
        return 192
    if info.width <= 40:
        return 224 if large else 160
    return 192 if large else 128


def _plan(
    info: ModelInfo, size: tuple[int, int], pixel: int, choice: tuple[int, int, int], max_memory: int | None
) -> tuple[TilePlan, int]:
    """Return the plan for a (side, halo, workers) and an estimate of the bytes that it needs."""
    (width, height), (side, halo, workers) = size, choice
    tile = (min(width, side or width), min(height, side or height))
    band = width * tile[1] * info.scale**2 * pixel
    group = max(1, round(8 * workers / math.ceil(width / tile[0])))
    while group > 1 and max_memory is not None and 3 * group * band > max_memory // 4:
        group -= 1
    fed = min(width, tile[0] + 2 * halo), min(height, tile[1] + 2 * halo)
    return TilePlan(tile, halo, workers, group), workers * _net_memory(info, fed) + 3 * group * band


def _net_memory(info: ModelInfo, fed: tuple[int, int]) -> int:
    """Return an upper estimate of what cv2.dnn allocates for one forward of so many pixels, in bytes."""
    pixels = fed[0] * fed[1]
    # input, output and scratch of the widest layer, as measured on chains; more if layers follow an upsampling
    inside = 5 * info.width * (info.scale**2 if info.tail == "image" and len(info.ops) > 1 else 1)
    return 4 * pixels * (inside + 4 * info.channels * info.scale**2)
