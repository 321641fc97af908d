"""Samples of files as networks need them: ranges, scaling there and back, missing pixels."""

from __future__ import annotations

import numpy as np
import pytest

import cvsr
from cvsr.errors import FileError
from cvsr.inference.stages import Progress
from cvsr.rasters.normalize import Scale, Scaled, enlarged, scale_of, share_of


class Picture:
    """An array as a picture in a file, with some pixels missing."""

    def __init__(self, array: np.ndarray, hidden: np.ndarray | None = None, nodata: float | None = None) -> None:
        self.array, self.hidden, self.nodata = array, hidden, nodata
        self.shape, self.dtype = array.shape, array.dtype

    def rows(self, start: int, stop: int) -> np.ndarray:
        return self.array[start:stop].copy()

    def missing(self, start: int, stop: int) -> np.ndarray | None:
        return None if self.hidden is None else self.hidden[start:stop]


def ramp(dtype: str, low: float, high: float) -> np.ndarray:
    return np.linspace(low, high, 100 * 9).reshape(100, 9).astype(dtype)


@pytest.mark.parametrize(
    ("array", "normalize", "expected"),
    [
        (ramp("uint16", 5, 900), None, Scale(np.dtype("uint16"))),
        (ramp("float32", 0, 1), None, Scale(np.dtype("float32"))),
        (ramp("uint16", 5, 900), True, Scale(np.dtype("uint16"), 5, 900, plain=False)),
        (ramp("int16", -7, 90), None, Scale(np.dtype("int16"), -7, 90, plain=False)),
        (ramp("float64", -2, 1), None, Scale(np.dtype("float64"), -2, 1, plain=False)),
        (ramp("int8", 0, 9), (-5.0, 50.0), Scale(np.dtype("int8"), -5, 50, plain=False)),
    ],
)
def test_photos_stay_and_measurements_get_one_range(array, normalize, expected):
    assert scale_of([Picture(array[:50]), Picture(array[50:])], array.dtype, normalize) == expected


def test_missing_and_infinite_values_are_not_in_the_range():
    array = ramp("float32", 2, 10)
    array[0, 0], array[1, 1] = np.nan, np.inf
    hidden = np.zeros(array.shape, bool)
    array[2, 2], hidden[2, 2] = -9999, True
    low = float(array[0, 1])
    assert scale_of([Picture(array, hidden)], array.dtype, None) == Scale(array.dtype, low, 10, plain=False, holes=True)
    with pytest.raises(FileError, match="all of its values are missing"):
        scale_of([Picture(np.full((3, 3), np.nan, np.float32))], array.dtype, None)


def test_what_cannot_be_scaled_is_an_error():
    with pytest.raises(FileError, match="it has int32 samples"):
        scale_of([], np.dtype("int32"), None)
    with pytest.raises(FileError, match="invalid range 3 to 3"):
        scale_of([], np.dtype("uint8"), (3.0, 3.0))


def test_missing_pixels_are_filled_for_the_network_and_missing_in_the_result():
    array = ramp("int16", 100, 900)
    hidden = np.zeros(array.shape, bool)
    hidden[40:44, 3:5] = True
    array[hidden] = -9999
    picture = Picture(array, hidden, nodata=-9999)
    scale = scale_of([picture], array.dtype, None, holes=True)
    assert (scale.low, scale.high) == (100, 900)
    fed = np.concatenate([Scaled(picture, scale).rows(top, top + 10) for top in range(0, 100, 10)])
    assert 0 < fed[41, 3] < 1
    assert abs(fed[41, 3] - fed[41, 2]) < 0.02  # from beside it
    result = np.concatenate(list(enlarged(picture, scale, cvsr.Upscaler("nearest", 2))))
    assert result.dtype == array.dtype
    np.testing.assert_array_equal(result, array.repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize(("nodata", "moved"), [(50, 51), (255, 254)])
def test_results_that_equal_the_value_for_no_data_move_by_one_step(nodata, moved):
    array = np.full((4, 4), nodata, np.uint8)
    hidden = np.zeros(array.shape, bool)
    hidden[0, 0] = True
    picture = Picture(array, hidden, nodata)
    result = np.concatenate(list(enlarged(picture, Scale(array.dtype, holes=True), cvsr.Upscaler("nearest", 2))))
    assert (result[:2, :2] == nodata).all()
    result[:2, :2] = moved
    assert (result == moved).all()


def test_progress_of_parts_adds_up():
    seen: list[Progress] = []
    share_of(seen.append, 2, 5)(Progress(1, 4))
    [step] = seen
    assert step.done / step.total == 2.25 / 5
