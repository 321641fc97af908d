"""A sliding window over the rows of a tall array."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from cvsr.inference.row_window import Window


def test_rows_are_freed_once_all_readers_have_released_them():
    window = Window(lambda stop: window.grow(stop, (2, 0, 5)).fill(stop), 1)
    window.readers |= {"a": 0, "b": 0}
    assert window.rows(0, 10).shape == (2, 10, 5)
    held = weakref.ref(window._data)
    window.readers |= {"a": 8, "b": 6}
    assert (window.rows(6, 14)[0, :, 0] == [10] * 4 + [14] * 4).all()
    gc.collect()
    assert held() is None and window._data.shape[1] == 8
    held = weakref.ref(window._data)
    window.released("a", 12)
    assert window._data.shape[1] == 8, "the other may still ask for them"
    window.released("b", 12)
    gc.collect()
    assert held() is None and window._data.shape[1] == 2 and (window.rows(12, 14) == 14).all()


class Numbered:
    """An array of which every row holds its own number, seen through a window; it records what is computed."""

    def __init__(self, axis: int, zoom: int = 1, ahead: int = 0, height: int = 100) -> None:
        self.window = Window(self.make, axis, zoom)
        self.axis, self.zoom, self.ahead, self.height = axis, zoom, ahead, height
        self.made: list[tuple[int, int]] = []

    def make(self, stop: int) -> None:
        start, stop = self.window.bottom, min(self.height, stop + self.ahead)
        self.made.append((start, stop))
        shape = (0, 3) if self.axis == 0 else (2, 0, 3)
        room = self.window.grow(stop, shape, np.uint16)
        assert room.shape[self.axis] == (stop - start) * self.zoom
        room[:] = self.numbers(start, stop)

    def numbers(self, start: int, stop: int) -> np.ndarray:
        numbers = np.arange(start * self.zoom, stop * self.zoom, dtype=np.uint16)[:, None]
        return np.broadcast_to(numbers, (numbers.size, 3) if self.axis == 0 else (2, numbers.size, 3))

    def check(self, start: int, stop: int) -> None:
        rows = self.window.rows(start, stop)
        assert rows.dtype == np.uint16
        np.testing.assert_array_equal(rows, self.numbers(start, stop))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("zoom", [1, 2, 3])
@pytest.mark.parametrize("ahead", [0, 5])
def test_every_row_is_computed_once_while_readers_move_down(axis, zoom, ahead):
    array = Numbered(axis, zoom, ahead)
    array.window.readers |= {"near": 0, "far": 0}
    for top in range(0, 100, 7):
        array.check(top, min(100, top + 7))
        array.window.released("near", top)
        array.check(max(0, top - 10), min(100, top + 9))
        array.window.released("far", max(0, top - 10))
    stops = [stop for _, stop in array.made]
    assert [start for start, _ in array.made] == [0, *stops[:-1]] and stops[-1] == 100


@pytest.mark.parametrize("axis", [0, 1])
def test_rows_above_the_last_request_can_be_read_until_they_are_released(axis):
    array = Numbered(axis)
    array.window.readers["only"] = 0
    for start, stop in ((0, 60), (20, 30), (0, 1), (59, 60), (30, 80), (10, 80)):
        array.check(start, stop)
    assert array.made == [(0, 60), (60, 80)]


@pytest.mark.parametrize("axis", [0, 1])
def test_memory_is_bounded_by_the_rows_in_use(axis):
    array = Numbered(axis, height=10_000)
    array.window.readers["only"] = 0
    most = 0
    for top in range(0, 10_000, 10):
        array.check(top, top + 10)
        most = max(most, array.window._data.shape[axis])
        array.window.released("only", top + 8)
    assert most <= 2 * 12


def test_a_request_that_ends_at_the_bottom_computes_nothing():
    array = Numbered(0)
    array.window.readers["only"] = 0
    array.check(0, 10)
    array.check(5, 10)
    assert array.made == [(0, 10)] and array.window.bottom == 10
