"""Antialiased bicubic: against Pillow, against MATLAB's definition, and by properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cvsr.image.resample import cubic, resize, to_uint8, weights

SIZES = st.integers(1, 40)


def pillow_bicubic(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pillow's float32 result, channel by channel: mode F is not rounded."""
    from PIL import Image

    planes = np.atleast_3d(image).astype(np.float32)
    resized = [
        np.asarray(Image.fromarray(np.ascontiguousarray(planes[..., c])).resize(size, Image.Resampling.BICUBIC))
        for c in range(planes.shape[2])
    ]
    return np.stack(resized, axis=-1).reshape(size[1], size[0], *image.shape[2:])


def inner(image: np.ndarray, margin: int) -> np.ndarray:
    return image[margin:-margin, margin:-margin]


@pytest.mark.parametrize("divisor", [2, 3, 4, 8])
@pytest.mark.parametrize("name", ["astronaut", "camera"])
def test_shrinking_is_pillows(photo, name, divisor):
    image = photo(name)[: 41 * divisor, : 37 * divisor]
    ours = resize(image, (37, 41))
    # Pillow drops the samples beyond an edge and renormalises, MATLAB mirrors them: they differ within 2 pixels of it
    assert np.abs(inner(ours - pillow_bicubic(image, (37, 41)), 2)).max() < 2e-3


def test_shrinking_and_rounding_is_pillows_8_bit_result_within_its_rounding(photo):
    from PIL import Image

    image = photo("coffee")[:240, :320]
    ours = to_uint8(resize(image, (160, 120))).astype(int)
    pillow = np.asarray(Image.fromarray(image).resize((160, 120), Image.Resampling.BICUBIC, reducing_gap=None))
    difference = np.abs(inner(ours - pillow, 2))
    # Pillow's 8-bit code rounds between its two passes: noise of up to half a step, which turns 15 % of the roundings
    assert difference.max() <= 1
    assert difference.mean() < 0.2


@pytest.mark.parametrize("size", [(64, 48), (75, 37), (33, 50)])
def test_enlarging_and_odd_sizes_are_pillows(photo, size):
    image = photo("camera")[200:225, 230:261]
    assert np.abs(inner(resize(image, size) - pillow_bicubic(image, size), 4)).max() < 2e-3


def test_kernel_is_keys_with_half():
    assert cubic(np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0])) == pytest.approx([1, 0.5625, 0, -0.0625, 0, 0])
    x = np.linspace(-2.5, 2.5, 101)
    assert np.array_equal(cubic(x), cubic(-x))


def test_matlab_halving_taps():
    """imresize([0 … 1 … 0], 0.5): the kernel at (k + 1/2) / 2 for k = -4 … 3, over its sum."""
    taps = cubic((np.arange(-4, 4) + 0.5) / 2)
    taps /= taps.sum()
    first, matrix = weights(40, 20, 10, 11)
    dense = np.zeros(40)
    dense[first : first + matrix.shape[1]] = matrix[0]
    assert dense[17:25] == pytest.approx(taps, abs=1e-7)
    assert np.abs(dense).sum() == pytest.approx(np.abs(taps).sum(), abs=1e-6)


def test_matlab_mirrors_at_the_edge():
    """The first of 2 outputs of 4 samples: the samples before the edge are the first ones again, the nearest first."""
    taps = cubic((np.arange(-4, 4) + 0.5) / 2)
    taps /= taps.sum()
    signal = np.array([10.0, 60.0, 20.0, 200.0])
    mirrored = np.array([20, 60, 10, 10, 60, 20, 200, 200])  # samples -3 … 4 around the centre at 0.5
    expected = float(mirrored @ taps)
    assert resize(signal[None, :], (2, 1))[0, 0] == pytest.approx(expected, rel=1e-6)


def test_factor_of_a_rounded_size_is_kept():
    """5 samples by 1/2 give 3 outputs whose centres are 2 apart, not 5/3 apart."""
    ramp = np.arange(50, dtype=np.float32)[None, :]
    by_factor = resize(np.repeat(ramp, 8, 0), (25, 4), factor=0.5)
    assert by_factor[1, 4:20] == pytest.approx(2 * np.arange(4, 20) + 0.5, abs=1e-4)


def test_ramps_are_kept_away_from_the_edges():
    ramp = np.tile(np.linspace(0, 255, 60, dtype=np.float32), (20, 1))
    shrunk = resize(ramp, (20, 20))
    step = (shrunk[10, 12] - shrunk[10, 8]) / 4
    assert np.diff(shrunk[10, 3:-3]) == pytest.approx(np.full(13, step), abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(SIZES, SIZES, SIZES, SIZES, st.floats(0, 255, width=32))
def test_constants_stay_constant(height, width, new_height, new_width, value):
    image = np.full((height, width, 3), value, np.float32)
    result = resize(image, (new_width, new_height))
    assert result.shape == (new_height, new_width, 3)
    assert result == pytest.approx(np.full_like(result, value), abs=1e-3)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_mirror_and_transpose_commute(data):
    height, width = data.draw(SIZES), data.draw(SIZES)
    size = data.draw(SIZES), data.draw(SIZES)
    image = data.draw(arrays(np.uint8, (height, width)))
    result = resize(image, size)
    assert resize(image[::-1, ::-1], size) == pytest.approx(result[::-1, ::-1], abs=2e-3)
    assert pytest.approx(result, abs=2e-3) == resize(image.T, size[::-1]).T


@settings(max_examples=40, deadline=None)
@given(arrays(np.float32, (9, 11), elements=st.floats(0, 1, width=32)))
def test_the_same_size_is_the_same_image(image):
    assert np.array_equal(resize(image, (11, 9)), image)


def test_blocks_leave_no_seam(photo):
    """More rows than one block of the matrix product holds, against one dense matrix."""
    image = photo("camera")[:300, :5].astype(np.float32)
    first, matrix = weights(300, 200, 0, 200)
    assert first == 0
    assert resize(image, (5, 200)) == pytest.approx(matrix @ image[: matrix.shape[1]], abs=1e-2)


def test_channels_and_dtypes_do_not_mix(photo):
    image = photo("astronaut")[:40, :44]
    result = resize(image, (22, 20))
    assert result.dtype == np.float32
    for c in range(3):
        assert np.array_equal(result[..., c], resize(image[..., c], (22, 20)))
    wide = resize(image.astype(np.uint16) * 257, (22, 20))
    assert wide == pytest.approx(result * 257, abs=0.2)


def test_to_uint8_rounds_and_saturates():
    values = np.array([-3.0, -0.4, 0.6, 127.4, 127.6, 254.6, 300.0], np.float32)
    assert to_uint8(values).tolist() == [0, 0, 1, 127, 128, 255, 255]
