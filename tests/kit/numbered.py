"""Images for a watched folder, told apart by their numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cvsr._cv2 import cv2
from cvsr.io import reader


def content(number: int, height: int = 20, width: int = 30) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(number: int, suffix: str = ".png", *size: int) -> bytes:
    return cv2.imencode(suffix, content(number, *size))[1].tobytes()


def doubled(path: Path, number: int) -> bool:
    """Tell whether a result is that of ``content(number)``."""
    return path.exists() and np.array_equal(reader.read(path).image, content(number).repeat(2, 0).repeat(2, 1))
