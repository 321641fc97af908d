"""OpenCV's own threads, disabled while tiles run in Python threads: both together are slower than either alone.

Two networks on two threads took 1.1 to 1.2 times as long if OpenCV also divided each convolution among threads (4.14
and 5.0, two cores). Their number is a setting of the whole process, so it is restored.
"""

import contextlib
import threading
from collections.abc import Generator

from cvsr._cv2 import cv2

_lock = threading.Lock()
_users = 0
_before = 1  # the number to restore


def count() -> int:
    """Return how many threads OpenCV has outside :func:`single_threaded`."""
    with _lock:
        return max(1, _before if _users else cv2.getNumThreads())


@contextlib.contextmanager
def single_threaded(wanted: bool = True) -> Generator[None]:
    """Make OpenCV run each call on the calling thread; restore its number of threads at the end.

    Blocks may overlap: the last one to end restores the number, unless other code has changed it meanwhile.
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
