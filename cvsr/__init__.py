"""cvsr: super-resolution wherever OpenCV runs.

>>> import cv2, cvsr
>>> large = cvsr.upscale(cv2.imread("photo.jpg"), 2)
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from cvsr.batch.enlarge import upscale_file
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
    from cvsr.inference.stages import Progress
    from cvsr.modelfiles.info import ModelInfo, open_model
    from cvsr.opencv.ran_on import RanOn
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
    "upscale_file",
]

_HOMES = {
    "ModelInfo": "modelfiles.info",
    "Progress": "inference.stages",
    "RanOn": "opencv.ran_on",
    "Sequence": "sequence",
    "Upscaler": "upscaler",
    "open_model": "modelfiles.info",
    "upscale": "upscaler",
    "upscale_file": "batch.enlarge",
}
_MODULES = {"dask": "dask", "devices": "devices", "dnn_superres": "dnn_superres", "video": "video"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``cvsr --version`` needs no OpenCV."""
    if name in _MODULES:  # modules that are used as attributes, as cv2.dnn_superres is
        return importlib.import_module(f"cvsr.{_MODULES[name]}")
    if name not in __all__:
        raise AttributeError(f"module 'cvsr' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"cvsr.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names only: imported submodules and helpers of this module are left out."""
    return sorted({*__all__, *_MODULES, *(name for name in globals() if name.startswith("__"))})
