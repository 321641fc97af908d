"""cvsr: super-resolution wherever OpenCV runs.

>>> import cv2, cvsr
>>> large = cvsr.upscale(cv2.imread("photo.jpg"), 2)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from cvsr.errors import (
        Cancelled,
        CvsrError,
        DeviceError,
        FileError,
        ImageError,
        MemoryBudgetError,
        ModelError,
        ModelNotFoundError,
        OpenCVError,
        OptionError,
    )
    from cvsr.model import ModelInfo, open_model
    from cvsr.pipeline import Progress
    from cvsr.ran import RanOn
    from cvsr.sequence import Sequence
    from cvsr.upscaler import Upscaler, upscale

__all__ = [
    "Cancelled",
    "CvsrError",
    "DeviceError",
    "FileError",
    "ImageError",
    "MemoryBudgetError",
    "ModelError",
    "ModelInfo",
    "ModelNotFoundError",
    "OpenCVError",
    "OptionError",
    "Progress",
    "RanOn",
    "Sequence",
    "Upscaler",
    "open_model",
    "upscale",
]

_HOMES = {"ModelInfo": "model", "Progress": "pipeline", "RanOn": "ran", "Sequence": "sequence"} | {
    "Upscaler": "upscaler",
    "open_model": "model",
    "upscale": "upscaler",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``cvsr --version`` needs no OpenCV."""
    if name == "dnn_superres":  # a module that is used as an attribute, as cv2.dnn_superres is
        return importlib.import_module("cvsr.dnn_superres")
    if name not in __all__:
        raise AttributeError(f"module 'cvsr' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"cvsr.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
