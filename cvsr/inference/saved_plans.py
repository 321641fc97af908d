"""Plans that ``cvsr tune`` has measured on this machine, kept in the user's cache folder.

A plan holds for one model file, build of OpenCV, processor and number of threads; otherwise the defaults of
:mod:`cvsr.inference.plan` apply.
"""

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

    With one worker, OpenCV's own threads share the work on a tile. ``gain``: speed relative to the default plan.
    """

    tile: int
    workers: int
    gain: float = 1.0


def file() -> Path:
    """Return the file of plans: in the folder that CVSR_CACHE names, else in the user's cache."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
        folder = Path(base or Path.home() / ".cache") / "cvsr"
    return Path(folder) / "plans.json"


@functools.lru_cache(maxsize=1)
def _build() -> str:
    return hashlib.sha256(cv2.getBuildInformation().encode()).hexdigest()[:16]


def key(info: ModelInfo, exact: bool) -> str:
    """Return the key of the plan for a model on this machine."""
    return "/".join([info.sha256[:16], _build(), machine.name(), str(threads.count()), "exact" if exact else "fast"])


def find(info: ModelInfo, exact: bool) -> SavedPlan | None:
    """Return the plan that was measured for a model on this machine, or None."""
    path = file()
    try:
        state = path.stat()
    except OSError:
        return None
    return _read(path, (state.st_mtime_ns, state.st_size)).get(key(info, exact))


@functools.lru_cache(maxsize=4)
def _read(path: Path, _stamp: tuple[int, int]) -> dict[str, SavedPlan]:
    """Return the plans of a file; {} if it is broken or of another version: they can be measured again."""
    try:
        data = json.loads(path.read_text("utf-8"))
        plans = data["plans"] if data["version"] == _VERSION else {}
        return {name: SavedPlan(**plan) for name, plan in plans.items() if _fits(plan)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _fits(plan: Any) -> bool:
    numbers = [plan.get("tile"), plan.get("workers")] if isinstance(plan, dict) else [None]
    return set(plan) == {"tile", "workers", "gain"} and all(isinstance(n, int) and 0 <= n < 2**16 for n in numbers)


def remember(plans: dict[str, SavedPlan]) -> None:
    """Add plans, by :func:`key`, to the saved ones. Raises FileError if the folder cannot be written."""
    from cvsr.io.atomic import atomic  # lazy: keeps the import of cvsr fast

    path = file()
    saved = {name: asdict(plan) for name, plan in (_read.__wrapped__(path, (0, 0)) | plans).items()}
    with atomic(path) as stream:
        stream.write(json.dumps({"version": _VERSION, "plans": saved}, indent=1).encode() + b"\n")


def forget() -> bool:
    """Remove all plans; return whether there were any."""
    try:
        file().unlink()
    except FileNotFoundError:
        return False
    return True
