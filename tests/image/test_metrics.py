"""PSNR, SSIM and luma against scikit-image and against numbers that can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cvsr.errors import ImageError
from cvsr.image import metrics


def noisy(image: np.ndarray, sigma: float, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, sigma, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def test_psnr_of_a_known_error():
    first = np.zeros((4, 5), np.uint8)
    # a mean squared error of 25: 20 log10(255 / 5)
    assert metrics.psnr(first, first + np.uint8(5)) == pytest.approx(20 * math.log10(51), abs=1e-12)


def test_psnr_does_not_wrap_around_in_8_bits():
    black, white = np.zeros((3, 3), np.uint8), np.full((3, 3), 255, np.uint8)
    assert metrics.psnr(black, white) == metrics.psnr(white, black) == 0.0


def test_psnr_of_equal_images_is_infinite(photo):
    assert metrics.psnr(photo("camera"), photo("camera")) == math.inf


def test_psnr_is_scikit_images(photo):
    from skimage.metrics import peak_signal_noise_ratio

    image = photo("astronaut")[:200, :150]
    other = noisy(image, 12)
    assert metrics.psnr(image, other) == pytest.approx(peak_signal_noise_ratio(image, other, data_range=255), abs=1e-9)


@pytest.mark.parametrize("sigma", [1, 8, 40])
def test_ssim_is_scikit_images_over_the_valid_region(photo, sigma):
    from skimage.metrics import structural_similarity

    image = photo("camera")[100:260, 150:273]
    other = noisy(image, sigma)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    # scikit-image cuts the same 5 pixels before it averages
    assert metrics.ssim(image, other) == pytest.approx(structural_similarity(image, other, **options), abs=1e-7)


def test_ssim_of_color_is_the_mean_over_channels(photo):
    image = photo("coffee")[50:120, 80:170]
    other = noisy(image, 10)
    channels = [metrics.ssim(image[..., c], other[..., c], valid=False) for c in range(3)]
    assert metrics.ssim(image, other, valid=False) == pytest.approx(np.mean(channels), abs=1e-12)


def test_ssim_with_edges_is_opencvs_quality_module(photo):
    from cvsr._cv2 import cv2

    if not hasattr(cv2, "quality"):
        pytest.skip("this OpenCV has no quality module (it is in the contrib wheels)")
    image = photo("coffee")[50:120, 80:170]
    other = noisy(image, 10)
    theirs = cv2.quality.QualitySSIM_compute(image, other)[0][:3]
    assert metrics.ssim(image, other, valid=False) == pytest.approx(np.mean(theirs), abs=1e-4)


def test_ssim_is_one_for_equal_images_and_symmetric(photo):
    image = photo("camera")[:60, :60]
    other = noisy(image, 20)
    assert metrics.ssim(image, image) == pytest.approx(1.0, abs=1e-12)
    assert metrics.ssim(image, other) == pytest.approx(metrics.ssim(other, image), abs=1e-12)


@pytest.mark.parametrize(
    ("bgr", "luma"),
    [
        ((0, 0, 0), 16.0),
        ((255, 255, 255), 235.0),
        ((255, 0, 0), 16 + 24.966),
        ((0, 255, 0), 16 + 128.553),
        ((0, 0, 255), 16 + 65.481),
    ],
)
def test_luma_of_the_primaries(bgr, luma):
    assert metrics.studio_luma(np.full((2, 3, 3), bgr, np.uint8)) == pytest.approx(np.full((2, 3), luma), abs=1e-9)


def test_luma_is_scikit_images(photo):
    from skimage.color import rgb2ycbcr

    image = photo("chelsea")[:90, :120]
    expected = rgb2ycbcr(image[..., ::-1])[..., 0]
    assert np.abs(metrics.studio_luma(image) - expected).max() < 1e-6


def test_luma_keeps_the_fraction():
    assert metrics.studio_luma(np.full((1, 1, 3), 1, np.uint8))[0, 0] == pytest.approx(16 + 219 / 255)


def test_gray_has_the_luma_of_three_equal_channels(photo):
    gray = photo("camera")
    assert np.allclose(metrics.studio_luma(gray), metrics.studio_luma(np.dstack([gray] * 3)))


def test_crop_border():
    image = np.arange(30).reshape(5, 6)
    assert np.array_equal(metrics.crop_border(image, 2), [[14, 15]])
    assert metrics.crop_border(image, 0).shape == image.shape


@pytest.mark.parametrize(
    "call",
    [
        lambda: metrics.psnr(np.zeros((3, 3)), np.zeros((3, 4))),
        lambda: metrics.psnr(np.zeros((0, 3)), np.zeros((0, 3))),
        lambda: metrics.ssim(np.zeros((11, 11)), np.zeros((11, 12))),
        lambda: metrics.ssim(np.zeros((10, 40)), np.zeros((10, 40))),
        lambda: metrics.studio_luma(np.zeros((4, 4, 4), np.uint8)),
        lambda: metrics.studio_luma(np.zeros((4, 4, 1), np.uint8)),
        lambda: metrics.crop_border(np.zeros((4, 9)), 2),
        lambda: metrics.crop_border(np.zeros((4, 9)), -1),
    ],
    ids=["shapes", "empty", "ssim-shapes", "ssim-small", "bgra", "one-channel", "all-border", "negative-border"],
)
def test_what_cannot_be_compared_is_an_image_error(call):
    with pytest.raises(ImageError):
        call()
