"""PyAV, which is an extra: the only module that imports it, when a film is opened."""

import importlib
import os
from contextlib import suppress
from pathlib import Path
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


def use_ordinary_priority() -> None:
    """Take the threads of this process off real-time scheduling.

    SVT-AV1, run by root, puts itself and its caller on SCHED_FIFO: on a small machine nothing else gets to run then.
    """
    if not hasattr(os, "sched_setscheduler"):
        return
    for thread in Path("/proc/self/task").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if os.sched_getscheduler(int(thread.name)) == os.SCHED_FIFO:
                os.sched_setscheduler(int(thread.name), os.SCHED_OTHER, os.sched_param(0))
