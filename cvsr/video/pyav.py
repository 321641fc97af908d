"""PyAV, which is an extra: the only module that imports it, when a film is opened."""

from __future__ import annotations

import importlib
from typing import Any

from cvsr.errors import OptionError, install_hint

REMEDY = install_hint("video")


def find() -> Any | None:
    """Return the module ``av``, or None if it is not installed or does not load."""
    try:
        return importlib.import_module("av")
    except ImportError:
        return None


def load() -> Any:
    """Return the module ``av``. Raise OptionError if it is missing."""
    av = find()
    if av is None:
        raise OptionError(f"this needs PyAV, which is not installed: {REMEDY}")
    return av


def reason(error: Exception) -> str:
    """Return the short message of an error of PyAV."""
    return getattr(error, "strerror", None) or str(error)
