"""YUV of more than 8 bits to 16-bit BGR and back, computed here: FFmpeg's scaler is off by up to 4 steps of 10 bits."""

from typing import Any

import numpy as np

from cvsr._cv2 import cv2
from cvsr.image import Image

WEIGHTS = {
    1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087),
    9: (0.2627, 0.0593), 10: (0.2627, 0.0593),
}  # fmt: skip
"""Of red and blue in luma, by the number of the matrix in ITU-T H.273."""

DEPTHS = (9, 10, 12, 14, 16)
"""Bits for which FFmpeg has a format without subsampling."""

_PEAK = 65535


def _matrix(number: int, full: bool, bits: int) -> Image:
    """Return the matrix (4, 4) that makes (Y, U, V, 1) of ``bits`` from (B, G, R, 1) of 16 bits."""
    red, blue = WEIGHTS[number]
    luma = np.array([blue, 1 - red - blue, red])
    rows = np.stack([luma, (np.array([1, 0, 0]) - luma) / (2 - 2 * blue), (np.array([0, 0, 1]) - luma) / (2 - 2 * red)])
    unit = 2 ** (bits - 8)
    scales = np.full(3, 2**bits - 1.0) if full else np.array([219, 224, 224]) * unit
    result = np.eye(4)
    result[:3, :3] = rows * scales[:, None] / _PEAK
    result[:3, 3] = [0 if full else 16 * unit, 128 * unit, 128 * unit]
    return result


def to_bgr(frame: Any, bits: int, matrix: int, full: bool) -> Image:
    """Return a frame of ``yuv444p<bits>le`` as BGR, uint16 in 0..65535."""
    planes = np.dstack([_view(plane) for plane in frame.planes]).astype(np.float32)
    inverse = np.linalg.inv(_matrix(matrix, full, bits))
    return np.rint(cv2.transform(planes, inverse[:3]).clip(0, _PEAK)).astype(np.uint16)


def to_yuv(image: Image, frame: Any, bits: int, matrix: int, full: bool) -> None:
    """Write BGR, uint16, into an empty frame of ``yuv444p<bits>le`` and the same size."""
    planes = cv2.transform(image.astype(np.float32), _matrix(matrix, full, bits)[:3])
    stored = np.rint(planes.clip(0, 2**bits - 1)).astype(np.uint16)
    for i, plane in enumerate(frame.planes):
        _view(plane)[:] = stored[:, :, i]


def _view(plane: Any) -> Image:
    return np.frombuffer(plane, "<u2").reshape(plane.height, -1)[:, : plane.width]
