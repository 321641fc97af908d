"""Similarity of a picture to the original: PSNR and SSIM, as in the super-resolution literature."""

import math

import numpy as np

from cvsr._cv2 import cv2
from cvsr.errors import ImageError
from cvsr.image import Image

_WINDOW, _SIGMA = 11, 1.5  # the Gaussian window of Wang et al. 2004
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # their K1 and K2, on 8-bit images


def studio_luma(image: Image) -> Image:
    """Return the BT.601 luma (16..235) of 8-bit gray (H, W) or BGR (H, W, 3), as float64 (H, W).

    The weights are those of MATLAB's ``rgb2ycbcr``: 16 + (65.481 R + 128.553 G + 24.966 B) / 255. MATLAB rounds the
    result to 8 bits if the image has 8 bits, as the papers around SRCNN did; most code since then (BasicSR and the
    papers built on it) keeps the fraction, and so does this. Rounding both pictures would add about 1/6 to the mean
    squared error: 0.02 to 0.06 dB less at 33 to 37 dB. Gray counts as color of three equal channels, as in that code:
    over 0..255 the same error would be 1.3 dB more, and the mean of Set14 (one gray image in 14) 0.09 dB less.
    """
    if image.ndim == 2:
        return 16.0 + image.astype(np.float64) * (219.0 / 255.0)
    if image.ndim != 3 or image.shape[2] != 3:
        raise ImageError(f"Luma needs gray (H, W) or BGR (H, W, 3) and got {image.shape}: drop the alpha channel.")
    return 16.0 + image.astype(np.float64) @ (np.array([24.966, 128.553, 65.481]) / 255.0)


def crop_border(image: Image, border: int) -> Image:
    """Return the view of an image of shape (H, W) or (H, W, C) without ``border`` pixels on each side."""
    height, width = image.shape[:2]
    if border < 0 or min(height, width) <= 2 * border:
        raise ImageError(
            f"An image of {width}x{height} is too small to crop {border} pixels on each side: use a larger image."
        )
    return image[border : height - border, border : width - border]


def psnr(first: Image, second: Image) -> float:
    """Return the peak signal-to-noise ratio in dB of two images of one shape, over a peak of 255.

    Any real dtype is taken and compared in float64; equal images give infinity. ``ImageError`` if the shapes differ or
    the images are empty.
    """
    _check_pair(first, second)
    error = first.astype(np.float64) - second.astype(np.float64)
    mean = float(np.mean(error * error))
    return math.inf if mean == 0.0 else 10.0 * math.log10(255.0**2 / mean)


def ssim(first: Image, second: Image, *, valid: bool = True) -> float:
    """Return the mean structural similarity of two images of one shape, (H, W) or (H, W, C), with values of 0..255.

    Wang et al. 2004, "Image Quality Assessment: From Error Visibility to Structural Similarity": a Gaussian window of
    11x11 with sigma 1.5, here in float64. ``valid`` keeps the positions at which the whole window is in the image, as
    the paper's code does; False mirrors the image at its edges and keeps every position, as OpenCV's quality module.
    Channels are averaged. ``ImageError`` if the shapes differ or, with ``valid``, if the window does not fit.
    """
    _check_pair(first, second)
    if valid and min(first.shape[:2]) < _WINDOW:
        raise ImageError(
            f"SSIM needs {_WINDOW}x{_WINDOW} pixels and got {first.shape[1]}x{first.shape[0]}: use larger images."
        )
    a, b = first.astype(np.float64), second.astype(np.float64)
    mean_a, mean_b = _blur(a), _blur(b)
    variance_a = _blur(a * a) - mean_a * mean_a
    variance_b = _blur(b * b) - mean_b * mean_b
    covariance = _blur(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a * mean_a + mean_b * mean_b + _C1)
    similarity = luminance * (2 * covariance + _C2) / (variance_a + variance_b + _C2)
    return float(np.mean(crop_border(similarity, _WINDOW // 2) if valid else similarity))


def _blur(image: Image) -> Image:
    """Average float64 values under the window, centred at each pixel."""
    return cv2.GaussianBlur(image, (_WINDOW, _WINDOW), _SIGMA)


def _check_pair(first: Image, second: Image) -> None:
    if first.shape != second.shape:
        raise ImageError(f"The images have different shapes, {first.shape} and {second.shape}: crop or resize one.")
    if first.size == 0:
        raise ImageError(f"Nothing to compare: both images are empty, of shape {first.shape}.")
