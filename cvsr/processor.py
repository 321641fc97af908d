"""What the system tells of the processor: plans depend on it."""

from __future__ import annotations

import functools
import platform
from pathlib import Path

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


@functools.lru_cache(maxsize=1)
def name() -> str:
    """Return the name of the processor, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model")))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


@functools.lru_cache(maxsize=1)
def cache() -> int:
    """Return the bytes of a core's second-level cache, 0 where the system (all but Linux) does not tell."""
    for folder in sorted(_CACHES.glob("index*")):
        try:
            if (folder / "level").read_text("ascii").strip() == "2":
                size = (folder / "size").read_text("ascii").strip()
                return int(size.rstrip("KM")) * {"K": 2**10, "M": 2**20}.get(size[-1:], 1)
        except (OSError, ValueError):
            continue
    return 0
