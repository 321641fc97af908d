"""Pictures that are never whole in memory: their rows are read on demand, from the top down.

Any object with ``shape``, ``dtype`` and ``rows`` can be enlarged by :meth:`cvsr.Upscaler.bands`.
"""

from typing import Any, Protocol, runtime_checkable

import numpy as np

from cvsr.image import Image
from cvsr.image.fill import REACH, filled, spread_in_blocks
from cvsr.inference.stages import ImageSource, Stage


@runtime_checkable
class Rows(Protocol):
    """A picture that is read by rows: shape and dtype as those of an image; uint8, uint16 or float32 in 0..1."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (H, W), (H, W, 3) or (H, W, 4)."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the type of a sample."""
        ...

    def rows(self, start: int, stop: int) -> Image:
        """Return the rows ``start:stop``, as part of an image. Calls go from the top down, overlapping a little."""
        ...


class RowSource:
    """The first stage for a picture that is read by rows: its color, or its alpha."""

    def __init__(self, picture: Rows, alpha: bool = False) -> None:
        self.picture, self.alpha = picture, alpha
        self.size = (picture.shape[1], picture.shape[0])

    def rows(self, start: int, stop: int) -> Image:
        """Return the rows; transparent pixels get the color of visible ones nearby."""
        if self.picture.shape[2:] != (4,):
            return self.picture.rows(start, stop)
        if self.alpha:
            return np.ascontiguousarray(self.picture.rows(start, stop)[:, :, 3])
        first, last = max(0, start - REACH), min(self.size[1], stop + REACH)
        bgra = self.picture.rows(first, last)
        return spread_in_blocks(bgra[:, :, :3], bgra[:, :, 3] <= 0)[start - first : stop - first]

    def edges(self) -> list[int]:
        """Return the bottom: bands may end anywhere."""
        return [self.size[1]]


def color_and_alpha(image: Image | Rows) -> list[tuple[Stage, int]]:
    """Return the stages of an image that are enlarged separately, color and alpha, each with its bytes per pixel."""
    channels = image.shape[2] if len(image.shape) == 3 else 1
    one = image.dtype.itemsize
    if not isinstance(image, np.ndarray):
        if channels == 4:
            return [(RowSource(image), one * 3), (RowSource(image, alpha=True), one)]
        return [(RowSource(image), one * channels)]
    if channels == 4:
        return [(ImageSource(filled(image)), one * 3), (ImageSource(image[:, :, 3]), one)]
    return [(ImageSource(image.reshape(image.shape[:2]) if channels == 1 else image), one * channels)]
