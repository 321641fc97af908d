"""Filling under transparency and no-data: colors of the nearest visible pixels, the same in overlapping parts."""

from __future__ import annotations

import numpy as np
import pytest

from cvsr.image import fill

RANDOM = np.random.default_rng(4)


def test_hidden_pixels_get_the_nearest_visible_color_and_others_stay():
    pixels = RANDOM.integers(0, 256, (20, 30, 3), np.uint8)
    hidden = np.zeros((20, 30), bool)
    hidden[:, 10:16] = True
    filled = fill.spread(pixels.copy(), hidden)
    np.testing.assert_array_equal(filled[~hidden], pixels[~hidden])
    np.testing.assert_array_equal(filled[:, 10:12], np.repeat(pixels[:, 9:10], 2, axis=1))
    np.testing.assert_array_equal(filled[:, 14:16], np.repeat(pixels[:, 16:17], 2, axis=1))


@pytest.mark.parametrize("value", [False, True])
def test_nothing_changes_if_all_or_none_are_hidden(value):
    pixels = RANDOM.random((5, 6), np.float32)
    np.testing.assert_array_equal(fill.spread(pixels.copy(), np.full((5, 6), value)), pixels)


def test_beyond_the_reach_pixels_stay():
    pixels = np.zeros((3, 200), np.uint8)
    pixels[:, 0] = 9
    hidden = pixels == 0
    filled = fill.spread(pixels, hidden)
    assert (filled[:, : fill.REACH] == 9).all()
    assert not filled[:, fill.REACH + 2 :].any()


def test_blocks_give_what_the_whole_gives(monkeypatch):
    monkeypatch.setattr(fill, "_BLOCK", 50)
    pixels = RANDOM.integers(0, 256, (40, 333, 3), np.uint8)
    hidden = np.zeros((40, 333), bool)
    hidden[5:30, 20:260] = True  # nearest colors are unique up and down
    whole = fill.spread(pixels.copy(), hidden)
    np.testing.assert_array_equal(fill.spread_in_blocks(pixels, hidden), whole)
    assert (whole != pixels).any()


def test_color_under_transparency_is_replaced():
    bgra = np.full((9, 9, 4), 200, np.uint8)
    bgra[4, 4] = 0
    np.testing.assert_array_equal(fill.filled(bgra), bgra[..., :3] * 0 + 200)


@pytest.mark.parametrize(("length", "source"), [(8, 4), (9, 4), (4, 8), (7, 7), (100, 33)])
def test_the_pixel_under_the_center(length, source):
    expected = [int((i + 0.5) * source / length) for i in range(length)]
    assert fill.nearest(0, length, length, source).tolist() == expected
    assert fill.nearest(2, length - 1, length, source).tolist() == expected[2:-1]
