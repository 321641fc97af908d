"""Filling under transparency and no-data: invisible pixels take the color of visible ones beside them."""

import numpy as np
import numpy.typing as npt

from cvsr._cv2 import cv2
from cvsr.image import Image

Mask = npt.NDArray[np.bool_]

REACH = 64
"""How far from visible pixels invisible ones get their color: receptive fields do not reach farther."""


def filled(bgra: Image) -> Image:
    """Return the color of a BGRA image with that of invisible pixels replaced by that of the nearest visible one.

    Colors under alpha 0 are arbitrary, often black, and would bleed into the edges of visible areas.
    """
    return spread(np.ascontiguousarray(bgra[:, :, :3]), bgra[:, :, 3] <= 0)


def spread(pixels: Image, hidden: Mask) -> Image:
    """Replace the ``pixels`` that are ``hidden``, (H, W), by the nearest others, in place, and return them.

    Beyond a distance of REACH they are not changed, so that the result is the same in overlapping parts of an image.
    """
    if not hidden.any() or hidden.all():
        return pixels
    mask = hidden.astype(np.uint8)
    distance, labels = cv2.distanceTransformWithLabels(mask, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    label: npt.NDArray[np.intp] = labels.astype(np.intp)
    nearest = np.zeros((int(label.max()) + 1, *pixels.shape[2:]), pixels.dtype)
    nearest[label[~hidden]] = pixels[~hidden]
    near = hidden & (distance <= REACH)
    pixels[near] = nearest[label[near]]
    return pixels


_BLOCK = 4096  # columns to fill at a time


def spread_in_blocks(pixels: Image, hidden: Mask) -> Image:
    """Return ``pixels`` with those that are ``hidden`` replaced as :func:`spread` does, block by block."""
    if not hidden.any():
        return np.ascontiguousarray(pixels)
    result = np.empty(pixels.shape, pixels.dtype)
    width = pixels.shape[1]
    for left in range(0, width, _BLOCK):
        begin, end = max(0, left - REACH), min(width, left + _BLOCK + REACH)
        part = spread(np.array(pixels[:, begin:end]), hidden[:, begin:end])
        result[:, left : left + _BLOCK] = part[:, left - begin : left - begin + _BLOCK]
    return result


def nearest(start: int, stop: int, length: int, source: int) -> npt.NDArray[np.intp]:
    """Return which of ``source`` pixels is under the center of each of the pixels ``start:stop`` of ``length``."""
    return ((2 * np.arange(start, stop) + 1) * source // (2 * length)).astype(np.intp)
