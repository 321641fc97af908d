"""OpenCV's own threads, stopped while tiles are computed in Python's: both together are slower than either.

A network on each of two threads took 1.1 to 1.2 times as long as long as OpenCV also divided each convolution among
threads of its own (4.14 and 5.0, two cores). Their number is a setting of the whole process, and is put back.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator

from cvsr._cv2 import cv2

_lock = threading.Lock()
_users = 0
_before = 1  # the number to put back


def count() -> int:
    """Return how many threads OpenCV has where nobody is inside :func:`single_threaded`."""
    with _lock:
        return max(1, _before if _users else cv2.getNumThreads())


@contextlib.contextmanager
def single_threaded(wanted: bool = True) -> Generator[None]:
    """Let OpenCV compute each call on the thread that makes it; put its number of threads back at the end.

    Several may be inside at a time: the last one out puts it back, unless somebody has set another number meanwhile.
    """
    global _users, _before
    if not wanted:
        yield
        return
    with _lock:
        if not _users:
            _before = cv2.getNumThreads()
            if _before > 1:
                cv2.setNumThreads(1)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users and _before > 1 and cv2.getNumThreads() == 1:
                cv2.setNumThreads(_before)
