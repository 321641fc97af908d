"""The errors of cvsr. Each message says what happened, why, and what to do.

CvsrError
├── ImageError (ValueError)         the array is not an image that cvsr accepts
├── OptionError (ValueError)        a scale, size, memory limit or other option makes no sense
├── ModelError                      a model file is broken, or contradicts the request
│   └── ModelNotFoundError          no model has that name or path
├── DeviceError                     the named device is missing, or gives wrong results
├── MemoryBudgetError (MemoryError) the work does not fit into the memory limit
├── FileError (OSError)             an image file cannot be read or written
├── OpenCVError (ImportError)       OpenCV is missing, or too old or too broken to use
└── Cancelled                       the caller's ``cancel`` returned True
"""


def install_hint(extra: str) -> str:
    """Return the command that installs an extra of cvsr, for messages to end with."""
    return f'pip install ".[{extra}]" in a checkout of cvsr'


class CvsrError(Exception):
    """Base of everything that cvsr raises on purpose."""


class ImageError(CvsrError, ValueError):
    """The array is not an image that cvsr accepts."""


class OptionError(CvsrError, ValueError):
    """A scale, size, memory limit or other option makes no sense."""


class ModelError(CvsrError):
    """A model file is broken, or contradicts the request."""


class ModelNotFoundError(ModelError):
    """No model has that name or path."""


class DeviceError(CvsrError):
    """The named device is missing, or gives wrong results."""


class MemoryBudgetError(CvsrError, MemoryError):
    """The work does not fit into the memory limit."""


class FileError(CvsrError, OSError):
    """An image file cannot be read or written."""


class OpenCVError(CvsrError, ImportError):
    """OpenCV is missing, or too old or too broken to use."""


class Cancelled(CvsrError):
    """The caller's ``cancel`` returned True."""
