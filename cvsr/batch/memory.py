"""The memory limit of a run (``--max-memory``): the most that the whole process uses at any moment."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from cvsr.errors import MemoryBudgetError, OptionError
from cvsr.image import Image
from cvsr.io.formats import FORMATS, Format
from cvsr.machine import MB, peak

_WRITER = 8 * MB  # a block of rows with its filtered forms, and compressed data on its way to the file
_SLACK = 8 * MB  # what allocators keep back, beside a sixteenth of all: 70 MB of 512 were measured for 100 megapixels


@dataclass(frozen=True)
class Budget:
    """A limit in bytes, and what the process held before the first image."""

    limit: int
    base: int

    def __post_init__(self) -> None:
        if self.base >= self.limit:
            raise OptionError(
                f"max_memory is {_mb(self.limit)}, and OpenCV and the model alone take {_mb(self.base)}: raise it"
            )

    @property
    def _kept(self) -> int:
        return _SLACK + self.limit // 16

    def check_reading(self, peak_before: int) -> None:
        """Raise MemoryBudgetError if reading an image, just done, took more than the limit."""
        if peak() > max(peak_before, self.limit):
            raise MemoryBudgetError(f"reading it took {_mb(peak())} and max_memory is {_mb(self.limit)}: raise it")

    def left(self, image: Image, samples: int, dtype: np.dtype[Any], format: Format, *, in_memory: bool) -> int:
        """Return what is left for upscaling ``image`` to ``samples``, to be written as ``dtype``.

        ``in_memory``: the model makes the result as a whole, so that writing it in bands saves nothing.
        Raise MemoryBudgetError if nothing is left.
        """
        held = self.base + image.nbytes + _alpha_work(image) + _WRITER + self._kept
        if in_memory:  # color and alpha are made on their own and then put together
            held += samples * image.itemsize * (2 if image.shape[2:] == (4,) else 1)
        if not format.streams:
            held += round(samples * dtype.itemsize * (1 + format.overhead))
        return self._less(held, format)

    def beside(self, held: int, format: Format) -> int:
        """Return what is left for upscaling beside ``held`` bytes for reading and writing. Raise MemoryBudgetError."""
        return self._less(self.base + held + _WRITER + self._kept, format)

    def _less(self, held: int, format: Format) -> int:
        if held < self.limit:
            return self.limit - held
        streaming = " or ".join(f.name for f in FORMATS.values() if f.streams)
        way = "raise it" if format.streams else f"raise it, or write {streaming}, which are written row by row"
        raise MemoryBudgetError(
            f"it needs more than {_mb(held)} as {format.name} and max_memory is {_mb(self.limit)}: {way}"
        )


def _alpha_work(image: Image) -> int:
    """Return what is allocated to give invisible pixels the color of visible ones, for the whole image at once."""
    if image.shape[2:] != (4,):
        return 0
    some_hidden = bool(image[..., 3].min() <= 0)
    pixels = image.shape[0] * image.shape[1]
    return pixels * (7 * image.itemsize + (20 + 4 * image.itemsize) * some_hidden)


def _mb(size: int) -> str:
    return f"{size / MB:.0f} MB"
