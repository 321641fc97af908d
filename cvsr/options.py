"""What callers ask for: the options of enlarging files, and checks of scales, sizes, budgets and device names."""

import re
from dataclasses import dataclass
from os import PathLike

import numpy as np

from cvsr.errors import OptionError
from cvsr.modelfiles.info import ModelInfo

LARGEST = 64  # the largest scale: more has no use for pixels of 8 bits


@dataclass(frozen=True)
class Options:
    """How files are enlarged: the arguments of :func:`cvsr.upscale_file`, the same for all files of a run.

    Frozen and picklable: it travels to the workers of a cluster, and an enlarger is kept for each.
    """

    model: str | PathLike[str] | ModelInfo = "auto"
    scale: float | None = None
    size: tuple[int, int] | None = None
    device: str = "auto"
    format: str | None = None
    quality: int | None = None
    max_memory: int | str | None = None
    exact: bool = False
    effort: str = "full"
    normalize: bool | tuple[float, float] = False

    @property
    def tag(self) -> str:
        """Return what is appended to the stem of a source for the name of its result: "_x2" or "_640x480"."""
        return f"_{self.size[0]}x{self.size[1]}" if self.size else f"_x{self.scale or 2:g}"


def memory_size(value: int | str) -> int:
    """Return a number of bytes from an int or a text such as "512M" or "1.5G" (powers of 1024)."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", str(value), re.IGNORECASE)
    size = int(float(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " ")) if match else 0
    if size <= 0:
        raise OptionError(f"max_memory is {value!r}: give bytes, or a size such as '512M' or '1.5G'")
    return size


def _number(value: object) -> float | None:
    return None if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) else float(value)


def checked_scale(scale: float) -> float:
    """Return a scale as a float; raise OptionError unless it is above 0 and at most LARGEST."""
    number = _number(scale)
    if number is None or not 0 < number <= LARGEST:
        raise OptionError(f"scale is {scale!r}: give a number above 0 and at most {LARGEST}")
    return number


def checked_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return (width, height) as ints; raise OptionError unless both are at least 1."""
    try:
        width, height = (int(value) for value in size)
    except (TypeError, ValueError):
        raise OptionError(f"size is {size!r}: give (width, height)") from None
    if width < 1 or height < 1:
        raise OptionError(f"size is {size!r}: both must be at least 1")
    return width, height


def check_effort(effort: str, exact: bool) -> None:
    """Raise OptionError unless ``effort`` is "full", or "fast" without ``exact``."""
    if effort not in ("full", "fast"):
        raise OptionError(f"effort is {effort!r}: use 'full' or 'fast'")
    if effort == "fast" and exact:
        raise OptionError(
            "effort='fast' and exact=True contradict each other: what is interpolated depends on the tiles"
        )
