"""Plans that ``cvsr tune`` has measured on this machine, kept in the user's cache folder.

A plan belongs to a model file, a build of OpenCV, a processor and a number of threads; where one of them is another, it
does not apply, and the rules of :mod:`cvsr.inference.plan` do.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cvsr import machine
from cvsr._cv2 import cv2
from cvsr.modelfiles.info import ModelInfo
from cvsr.opencv import threads

VARIABLE = "CVSR_CACHE"
_VERSION = 1


@dataclass(frozen=True)
class SavedPlan:
    """``tile``: the side of tiles in pixels, 0 for the whole image; ``workers``: how many tiles at a time.

    One worker leaves the work on a tile to OpenCV's own threads. ``gain``: how much faster than the rules it was.
    """

    tile: int
    workers: int
    gain: float = 1.0


def file() -> Path:
    """Return where plans are kept: in the folder that CVSR_CACHE names, else in the user's cache."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
        folder = Path(base or Path.home() / ".cache") / "cvsr"
    return Path(folder) / "plans.json"


@functools.lru_cache(maxsize=1)
def _build() -> str:
    return hashlib.sha256(cv2.getBuildInformation().encode()).hexdigest()[:16]


def key(info: ModelInfo, exact: bool) -> str:
    """Return what a plan for a model on this machine is kept under."""
    return "/".join([info.sha256[:16], _build(), machine.name(), str(threads.count()), "exact" if exact else "fast"])


def find(info: ModelInfo, exact: bool) -> SavedPlan | None:
    """Return the plan that was measured here for a model, or None."""
    path = file()
    try:
        state = path.stat()
    except OSError:
        return None
    found = _read(path, (state.st_mtime_ns, state.st_size)).get(key(info, exact))
    return SavedPlan(**found) if found else None


@functools.lru_cache(maxsize=4)
def _read(path: Path, _stamp: tuple[int, int]) -> dict[str, dict[str, Any]]:
    """Return the plans of a file; {} where it is broken or of another version: they can be measured again."""
    try:
        data = json.loads(path.read_text("utf-8"))
        plans = data["plans"] if data["version"] == _VERSION else {}
        return {name: plan for name, plan in plans.items() if _fits(plan)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _fits(plan: Any) -> bool:
    numbers = [plan.get("tile"), plan.get("workers")] if isinstance(plan, dict) else [None]
    return set(plan) == {"tile", "workers", "gain"} and all(isinstance(n, int) and 0 <= n < 2**16 for n in numbers)


def remember(plans: dict[str, SavedPlan]) -> None:
    """Add plans, by :func:`key`, to those that are kept. Raises FileError where the folder cannot be written."""
    from cvsr.io.atomic import atomic  # the import of cvsr is quick

    path = file()
    kept = _read.__wrapped__(path, (0, 0)) | {name: asdict(plan) for name, plan in plans.items()}
    with atomic(path) as stream:
        stream.write(json.dumps({"version": _VERSION, "plans": kept}, indent=1).encode() + b"\n")


def forget() -> bool:
    """Remove all plans; return whether there were any."""
    try:
        file().unlink()
    except FileNotFoundError:
        return False
    return True
