"""Pictures that give rows on demand: the same pixels as for a picture in memory, whatever the bands."""

from __future__ import annotations

import numpy as np
import pytest

import cvsr
from cvsr.image import PEAK, fill
from cvsr.inference import interpolated
from cvsr.inference.rows import RowSource, color_and_alpha


class Given:
    """Rows of an array; it records which were requested."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.requests: list[tuple[int, int]] = []

    @property
    def most(self) -> int:
        return max(stop - start for start, stop in self.requests)

    def rows(self, start: int, stop: int) -> np.ndarray:
        assert 0 <= start < stop <= self.shape[0]
        self.requests.append((start, stop))
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
    """At scales other than powers of 2, OpenCV's result depends on where a row lies, by one step of 8 bits at most."""
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


def noise(shape: tuple[int, ...], dtype: str = "uint8") -> np.ndarray:
    real = np.random.default_rng(shape).random(shape)
    return (real * PEAK[dtype]).astype(dtype)


@pytest.mark.parametrize("dtype", PEAK)
@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 3)])
def test_rows_of_gray_and_color_are_passed_on_in_any_order(shape, dtype):
    given = Given(noise(shape, dtype))
    source = RowSource(given)
    assert source.size == (7, 9) and source.edges() == [9]
    requests = [(0, 4), (8, 9), (2, 3), (0, 9)]
    for start, stop in requests:
        rows = source.rows(start, stop)
        assert rows.dtype == dtype
        np.testing.assert_array_equal(rows, given.array[start:stop])
    assert given.requests == requests


@pytest.mark.parametrize("dtype", PEAK)
def test_alpha_is_a_plane_of_its_own(dtype):
    given = Given(noise((9, 7, 4), dtype))
    rows = RowSource(given, alpha=True).rows(3, 9)
    assert rows.flags.c_contiguous and rows.dtype == dtype and given.requests == [(3, 9)]
    np.testing.assert_array_equal(rows, given.array[3:9, :, 3])


@pytest.mark.parametrize("dtype", PEAK)
def test_color_beside_alpha_reads_no_more_than_the_reach(dtype):
    picture = noise((300, 20, 4), dtype)
    picture[..., 3] *= picture[..., 3] > PEAK[dtype] / 2
    given, whole = Given(picture), fill.filled(picture.copy())
    source = RowSource(given)
    for start, stop in ((0, 10), (280, 300), (100, 150), (0, 300)):
        rows = source.rows(start, stop)
        assert rows.dtype == dtype and rows.shape == (stop - start, 20, 3)
        np.testing.assert_array_equal(rows, whole[start:stop])
    reach = fill.REACH
    assert given.requests == [(0, 10 + reach), (280 - reach, 300), (100 - reach, 150 + reach), (0, 300)]


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize(
    ("shape", "dtype", "pixels"),
    [
        ((9, 7), "uint8", [1]),
        ((9, 7, 3), "uint8", [3]),
        ((9, 7, 4), "uint8", [3, 1]),
        ((9, 7, 3), "uint16", [6]),
        ((9, 7, 4), "float32", [12, 4]),
    ],
)
def test_color_and_alpha_are_separate_stages(shape, dtype, pixels, in_memory):
    image = noise(shape, dtype)
    parts = color_and_alpha(image if in_memory else Given(image))
    assert [pixel for _, pixel in parts] == pixels
    for (stage, _), channels in zip(
        parts, (image[..., :3] if len(shape) == 3 else image, image[..., -1]), strict=False
    ):
        rows = stage.rows(2, 9)
        assert stage.size == (7, 9) and rows.dtype == dtype
        np.testing.assert_array_equal(rows, channels[2:9])


def test_a_single_channel_is_enlarged_as_a_plane():
    [(stage, pixel)] = color_and_alpha(noise((9, 7, 1)))
    assert stage.rows(0, 9).shape == (9, 7) and pixel == 1


@pytest.mark.parametrize("height", [1, 31, 32, 33, 64, 65])
@pytest.mark.parametrize("channels", [(), (3,), (4,)])
@pytest.mark.parametrize("dtype", PEAK)
def test_bands_have_every_row_once_and_the_last_may_be_short(models, height, channels, dtype):
    picture = noise((height, 256, *channels), dtype)
    bands = list(cvsr.Upscaler(models, 2, tile=32, threads=1).bands(Given(picture)))
    assert len(bands) == -(-height // 32)
    assert sum(map(len, bands)) == 2 * height and max(map(len, bands)) <= 64
    assert {(band.dtype.name, band.shape[1:]) for band in bands} == {(dtype, (512, *channels))}


def test_rows_are_requested_from_the_top_down(models):
    for scale in (2, 3.7, 4):
        given = Given(noise((200, 256, 3)))
        list(cvsr.Upscaler(models, scale, tile=32, threads=1).bands(given))
        starts, stops = zip(*given.requests, strict=True)
        assert list(starts) == sorted(starts) and list(stops) == sorted(stops)
        assert starts[0] == 0 and stops[-1] == 200
        assert all(start <= stop for start, stop in zip(starts[1:], stops, strict=False)), "no row is skipped"


def test_bands_that_are_closed_early_read_and_compute_no_more(models):
    given, seen = Given(noise((400, 256))), []
    bands = cvsr.Upscaler(models, 2, tile=32, threads=1).bands(given, progress=seen.append)
    next(bands)
    read, computed = list(given.requests), len(seen)
    bands.close()
    assert given.requests == read and read[-1][1] < 50
    assert len(seen) == computed < seen[0].total / 10
    with pytest.raises(StopIteration):
        next(bands)


@pytest.mark.parametrize(("length", "source"), [(10, 5), (5, 10), (7, 3), (3, 7), (9, 9)])
def test_the_nearest_pixel_is_the_one_under_the_middle(length, source):
    middle = (np.arange(length) + 0.5) * source / length
    np.testing.assert_array_equal(fill.nearest(0, length, length, source), np.floor(middle))
    np.testing.assert_array_equal(fill.nearest(2, 3, length, source), np.floor(middle[2:3]))
