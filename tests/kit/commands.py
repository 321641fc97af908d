"""Running the command line, and small pictures for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import cvsr
from cvsr._cv2 import cv2

ROOT = Path(cvsr.__file__).parent.parent


def picture(height=6, width=8, channels=3, dtype="uint8") -> np.ndarray:
    top = 1 if dtype == "float32" else np.iinfo(dtype).max
    shape = (height, width, channels) if channels else (height, width)
    values = np.random.default_rng(0).random(shape)
    if channels == 4:
        values[..., 3] = values[..., 3] / 2 + 0.3  # the color of invisible pixels may change
    return (values * top).astype(dtype)


def save(path: str, image: np.ndarray | None = None) -> Path:
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    image = picture() if image is None else image
    cv2.imencode(target.suffix or ".png", image)[1].tofile(target)
    return target


def names(folder: str = ".") -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def child(*argv: str, **keywords) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **keywords.pop("env", {})}
    return subprocess.run([sys.executable, "-m", "cvsr", *argv], capture_output=True, env=environment, **keywords)
