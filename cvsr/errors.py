"""The errors of cvsr. Each message says what happened, why, and what to do.

CvsrError
├── ImageError (ValueError)         the array is no image that cvsr takes
├── OptionError (ValueError)        a scale, size, budget or other option makes no sense
├── ModelError                      a model file is broken, or contradicts what was asked of it
│   └── ModelNotFoundError          no model has that name or path
├── DeviceError                     the named device is not here, or gave wrong results
├── MemoryBudgetError (MemoryError) the work does not fit the memory budget
├── FileError (OSError)             an image file cannot be read or written
├── OpenCVError (ImportError)       OpenCV is missing, or too old or too broken to use
└── Cancelled                       the caller's ``cancel`` said so
"""

from __future__ import annotations


def install_hint(extra: str) -> str:
    """Return what to type to get what an extra of cvsr brings, as messages end: cvsr is installed from a checkout."""
    return f'pip install ".[{extra}]" in a checkout of cvsr'


class CvsrError(Exception):
    """Base of everything that cvsr raises on purpose."""


class ImageError(CvsrError, ValueError):
    """The array is no image that cvsr takes."""


class OptionError(CvsrError, ValueError):
    """A scale, size, budget or other option makes no sense."""


class ModelError(CvsrError):
    """A model file is broken, or contradicts what was asked of it."""


class ModelNotFoundError(ModelError):
    """No model has that name or path."""


class DeviceError(CvsrError):
    """The named device is not here, or gave wrong results."""


class MemoryBudgetError(CvsrError, MemoryError):
    """The work does not fit the memory budget."""


class FileError(CvsrError, OSError):
    """An image file cannot be read or written."""


class OpenCVError(CvsrError, ImportError):
    """OpenCV is missing, or too old or too broken to use."""


class Cancelled(CvsrError):
    """The caller's ``cancel`` said so."""
