"""The only door to PyAV, which is an extra: import it when a film is opened, or say what to type."""

from __future__ import annotations

import importlib
from typing import Any

from cvsr.errors import OptionError

REMEDY = 'pip install "cvsr[video]"'


def find() -> Any | None:
    """Return the module ``av``, or None where it is not installed or does not load."""
    try:
        return importlib.import_module("av")
    except ImportError:
        return None


def load() -> Any:
    """Return the module ``av``. Raise OptionError where it is missing."""
    av = find()
    if av is None:
        raise OptionError(f"this needs PyAV, which is not installed: {REMEDY}")
    return av


def reason(error: Exception) -> str:
    """Return what an error of PyAV says, in few words."""
    return getattr(error, "strerror", None) or str(error)
