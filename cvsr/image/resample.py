"""Antialiased bicubic resampling, the way MATLAB's ``imresize`` and Pillow do it.

OpenCV's own bicubic neither widens its kernel when it shrinks an image nor uses the literature's a = -0.5,
so low-resolution images for training and for measuring, and the last step down to an arbitrary scale, come from here.
"""

import numpy as np

from cvsr.image import Image

BLOCK = 64  # output rows per matrix product: small enough that the banded matrix is nearly dense in each block


def cubic(x: Image, a: float = -0.5) -> Image:
    """Return the kernel of Keys 1981, "Cubic convolution interpolation for digital image processing", at ``x``."""
    x = np.abs(x)
    inner = ((a + 2) * x - (a + 3)) * x * x + 1
    outer = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, inner, np.where(x < 2, outer, 0.0))


def weights(n_in: int, n_out: int, start: int, stop: int, factor: float | None = None) -> tuple[int, Image]:
    """Return the rows ``start:stop`` of the matrix that resamples ``n_in`` samples to ``n_out``.

    ``factor`` is the scale (output over input) if it differs from ``n_out / n_in`` because sizes were rounded.
    The result is ``(first, matrix)``: ``matrix`` is float32 of shape (stop - start, k) and applies to the input
    samples ``first : first + k``. Samples beyond an edge mirror (MATLAB's rule), so the rows add up to one.
    """
    factor = n_out / n_in if factor is None else factor
    stretch = min(factor, 1.0)
    centre = (np.arange(start, stop) + 0.5) / factor - 0.5
    reach = 2.0 / stretch
    left = np.floor(centre - reach).astype(np.int64)
    taps = left[:, None] + np.arange(int(np.ceil(2 * reach)) + 2)
    value = cubic((centre[:, None] - taps) * stretch)
    value /= value.sum(axis=1, keepdims=True)
    period = np.mod(taps, 2 * n_in)
    source = np.where(period < n_in, period, 2 * n_in - 1 - period)
    used = source[value != 0]
    first, last = int(used.min()), int(used.max())
    matrix = np.zeros((stop - start, last - first + 1))
    rows, columns = np.nonzero(value)
    np.add.at(matrix, (rows, source[rows, columns] - first), value[rows, columns])
    return first, matrix.astype(np.float32)


def _rows(image: Image, n_out: int, factor: float | None) -> Image:
    """Resample the first axis of a float32 array of any shape."""
    flat = np.ascontiguousarray(image).reshape(image.shape[0], -1)
    out = np.empty((n_out, flat.shape[1]), np.float32)
    for start in range(0, n_out, BLOCK):
        stop = min(start + BLOCK, n_out)
        first, matrix = weights(image.shape[0], n_out, start, stop, factor)
        np.matmul(matrix, flat[first : first + matrix.shape[1]], out=out[start:stop])
    return out.reshape(n_out, *image.shape[1:])


def resize(image: Image, size: tuple[int, int], factor: float | None = None) -> Image:
    """Resize an image of shape (H, W) or (H, W, C) to ``size`` = (width, height), antialiased bicubic with a = -0.5.

    Any real dtype is taken; the result is float32 in the input's range, not rounded nor clipped (bicubic overshoots).
    """
    width, height = size
    image = image.astype(np.float32, copy=False)
    if height != image.shape[0] or factor is not None:
        image = _rows(image, height, factor)
    if width != image.shape[1] or factor is not None:
        image = _rows(image.swapaxes(0, 1), width, factor).swapaxes(0, 1)
    return image


def to_uint8(image: Image) -> Image:
    """Round a float image of range 0..255 to uint8, with saturation."""
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
