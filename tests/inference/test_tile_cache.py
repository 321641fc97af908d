"""The cache of the last frame's tiles."""

from __future__ import annotations

import numpy as np
import pytest

from cvsr.image.tiles import Span, Tile
from cvsr.inference.tile_cache import TileMemory

TILE, OTHER = (Tile(Span(0, 4, 0, 4), Span(start, start + 4, start, start + 4)) for start in (0, 4))


@pytest.fixture
def known():
    memory = TileMemory()
    pixels, result = np.arange(16, dtype=np.uint8).reshape(4, 4), np.ones((8, 8), np.uint8)
    memory.keep(TILE, pixels, result)
    return memory, pixels, result


def test_equal_pixels_give_the_result(known):
    memory, pixels, result = known
    assert memory.recall(TILE, pixels.copy()) is result
    assert (memory.reused, memory.computed) == (1, 1)


def test_other_pixels_tiles_dtypes_or_shapes_give_nothing(known):
    memory, pixels, _ = known
    changed = pixels.copy()
    changed[3, 3] += 1
    for tile, fed in (
        (TILE, changed),
        (OTHER, pixels),
        (TILE, pixels.astype(np.float32)),
        (TILE, pixels[:, :3]),
        (TILE, np.dstack([pixels] * 3)),
    ):
        assert memory.recall(tile, fed) is None
    assert memory.reused == 0


def test_the_pixels_are_copied(known):
    memory, pixels, result = known
    before = pixels.copy()
    pixels[:] = 0
    assert memory.recall(TILE, pixels) is None and memory.recall(TILE, before) is result


def test_only_the_last_frame_is_kept(known):
    memory, pixels, _ = known
    later, result = pixels + np.uint8(1), np.zeros((8, 8), np.uint8)
    memory.keep(TILE, later, result)
    assert memory.recall(TILE, pixels) is None and memory.recall(TILE, later) is result
    assert memory.computed == 2
