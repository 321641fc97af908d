"""Images: their kinds, tiles, filling, resampling and metrics; nothing here depends on networks or files."""

from typing import Any

import numpy as np
import numpy.typing as npt

from cvsr.errors import ImageError

Image = npt.NDArray[Any]

PEAK: dict[str, float] = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}
"""The value that stands for white, by dtype."""

_SLACK = 0.5  # how far float images may leave 0..1 (filters overshoot) before another range is assumed


def check(image: object) -> Image:
    """Return ``image`` if it is of a supported kind; raise ImageError, with a remedy, otherwise.

    Supported are arrays of shape (H, W), (H, W, 1), (H, W, 3) BGR and (H, W, 4) BGRA; uint8, uint16 or float32 in 0..1.
    """
    if not isinstance(image, np.ndarray):
        hint = " (cv2.imread returns None for a file it cannot read)" if image is None else ""
        raise ImageError(f"an image is a numpy array, not {type(image).__name__}{hint}")
    array: Image = image
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        hint = ""
        if array.ndim == 3 and array.shape[0] in (1, 3, 4):
            hint = " It looks like channels first: use image.transpose(1, 2, 0)."
        elif array.ndim == 4:
            hint = " It looks like a batch: pass one image at a time."
        raise ImageError(f"an image has the shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), not {array.shape}.{hint}")
    if 0 in array.shape:
        raise ImageError(f"the image is empty: its shape is {array.shape}")
    if array.dtype.name not in PEAK or not array.dtype.isnative:
        way = "image.astype('float32'), with white at 1" if array.dtype.kind == "f" else "image.astype('uint8')"
        raise ImageError(
            f"an image is of uint8, uint16 or float32, not {array.dtype}: convert it, for example by {way}"
        )
    if array.dtype == np.float32:
        low, high = float(array.min()), float(array.max())
        if not (low >= -_SLACK and high <= 1 + _SLACK):  # false for NaN too
            raise ImageError(
                f"a float image has values in 0..1, and these go from {low:g} to {high:g}: divide by the white level, "
                "and replace NaN and infinity"
            )
    return array
