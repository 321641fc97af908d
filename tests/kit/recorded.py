"""A picture in memory that records which rows are requested."""

from __future__ import annotations

import numpy as np

from cvsr.inference.stages import ImageSource


class Recorded(ImageSource):
    """A source that records the requests as (start, stop), and fails if they leave the picture."""

    def __init__(self, image: np.ndarray) -> None:
        super().__init__(image)
        self.requests: list[tuple[int, int]] = []

    def rows(self, start: int, stop: int) -> np.ndarray:
        assert 0 <= start < stop <= self.size[1]
        self.requests.append((start, stop))
        return super().rows(start, stop)
