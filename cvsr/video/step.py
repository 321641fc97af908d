"""The one place where frames meet the network."""

from __future__ import annotations

from collections.abc import Callable

from cvsr.image import Image
from cvsr.sequence import Sequence
from cvsr.upscaler import Upscaler

Step = Callable[[Image], Image]
"""Takes a film's frames one after the other, in order and from one thread, and gives each one enlarged."""


def make(upscaler: Upscaler) -> Step:
    """Return the step for one film: BGR (H, W, 3), uint8 or uint16, to the same kind, larger.

    It remembers the last frame, so every film (and every part of one that is not read in order) gets one of its own.
    """
    return Sequence(upscaler)
