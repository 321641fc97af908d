"""Pictures that give rows on demand: the same pixels as of a picture in memory, whatever the bands."""

from __future__ import annotations

import numpy as np
import pytest

import cvsr
from cvsr.image import fill
from cvsr.inference import interpolated
from cvsr.inference.rows import RowSource


class Given:
    """Rows of an array, with a note of what was asked for."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.most = 0

    def rows(self, start: int, stop: int) -> np.ndarray:
        assert 0 <= start < stop <= self.shape[0]
        self.most = max(self.most, stop - start)
        return self.array[start:stop].copy()


def streamed(array: np.ndarray, upscaler: cvsr.Upscaler) -> tuple[np.ndarray, Given]:
    given = Given(array)
    return np.concatenate(list(upscaler.bands(given))), given


def kind(photo, channels: int, dtype: str) -> np.ndarray:
    whole = photo("astronaut")[60:360, 100:200]
    alpha = np.zeros((300, 100), np.uint8)
    alpha[10:60, 20:50] = 255
    alpha[200:205, 60:] = 90  # more than the reach away, on both sides
    picture = np.dstack([whole, alpha])[..., :channels]
    picture = picture[..., 0] if channels == 1 else picture
    return {"uint8": picture, "uint16": picture.astype(np.uint16) * 257, "float32": picture / np.float32(255)}[dtype]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("scale", [2, 1.5])
def test_a_network_gives_the_same_pixels(photo, channels, dtype, scale):
    picture = kind(photo, channels, dtype)
    whole = cvsr.Upscaler("cvsr-small", scale, exact=True)(picture)
    result, given = streamed(picture, cvsr.Upscaler("cvsr-small", scale, exact=True, tile=40, threads=1))
    np.testing.assert_array_equal(result, whole)
    if channels != 4:
        assert given.most < 300, "it asked for all rows at once"


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic", "lanczos", "area"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize(("scale", "off"), [(2, 0), (4, 0), (0.5, 0), (3, 1), (1.5, 1)])
def test_interpolations_give_the_same_pixels(photo, monkeypatch, method, dtype, scale, off):
    """At scales that are no powers of two OpenCV itself is off by where a row lies: by a step of 8 bits at most."""
    monkeypatch.setattr(interpolated, "_BAND", 10_000)
    picture = kind(photo, 3, dtype)
    upscaler = cvsr.Upscaler(method, scale)
    result, given = streamed(picture, upscaler)
    step = {"uint8": 1, "uint16": 257, "float32": 1 / 255}[dtype]
    assert np.abs(result.astype(float) - upscaler(picture)).max() <= off * step
    assert given.most < 200


def test_an_interpolation_whose_bands_do_not_fit_is_refused(photo):
    picture = kind(photo, 3, "uint8")
    upscaler = cvsr.Upscaler("bicubic", size=(150, 307), max_memory=100_000)  # 300 and 307 have no common divisor
    with pytest.raises(cvsr.MemoryBudgetError, match="bicubic from 300 to 307 rows"):
        streamed(picture, upscaler)
    result, _ = streamed(picture, cvsr.Upscaler("bicubic", size=(150, 307)))
    np.testing.assert_array_equal(result, cvsr.Upscaler("bicubic", size=(150, 307))(picture))


def test_hidden_color_is_the_same_in_parts(photo, monkeypatch):
    monkeypatch.setattr(fill, "_BLOCK", 40)
    picture = kind(photo, 4, "uint8")
    hidden = picture[..., 3] == 0
    whole = fill.filled(picture)
    assert (whole != picture[..., :3]).any()
    np.testing.assert_array_equal(whole[280], picture[280, :, :3])  # farther than its reach from all that is seen
    part = RowSource(Given(picture))
    for start in range(0, 300, 30):
        np.testing.assert_array_equal(part.rows(start, start + 30), whole[start : start + 30])
    np.testing.assert_array_equal(fill.spread_in_blocks(picture[..., :3], hidden), whole)


@pytest.mark.parametrize(("length", "source"), [(10, 5), (5, 10), (7, 3), (3, 7), (9, 9)])
def test_the_nearest_pixel_is_the_one_under_the_middle(length, source):
    middle = (np.arange(length) + 0.5) * source / length
    np.testing.assert_array_equal(fill.nearest(0, length, length, source), np.floor(middle))
    np.testing.assert_array_equal(fill.nearest(2, 3, length, source), np.floor(middle[2:3]))
