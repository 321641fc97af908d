"""Examine OpenCV, its devices and the bundled models for ``cvsr doctor``; importing this module does not import cv2."""

import re
from dataclasses import asdict, dataclass, field
from typing import Any

from cvsr.opencv import child


@dataclass(frozen=True)
class Build:
    """What an OpenCV build is and has. ``dnn_superres`` is "yes", "no", or "broken" if a part of it is missing."""

    name: str
    version: str
    path: str
    contrib: bool
    headless: bool
    dnn: bool
    dnn_superres: str
    engines: dict[str, int]
    forced_engine: str


@dataclass(frozen=True)
class DeviceCheck:
    """Whether a device is available, with the evidence, and what to do if it is not."""

    name: str
    available: bool
    evidence: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class ModelCheck:
    """A bundled model, and whether its file is intact; ``note`` says what is wrong."""

    name: str
    scale: int
    path: str
    sha256: str = ""
    ok: bool = True
    note: str = ""


@dataclass(frozen=True)
class OpenCVCheck:
    """What is known of OpenCV; ``build`` is None and ``error`` says why if it cannot be loaded."""

    build: Build | None = None
    error: str = ""
    models_error: str = ""
    devices: list[DeviceCheck] = field(default_factory=list[DeviceCheck])
    models: list[ModelCheck] = field(default_factory=list[ModelCheck])


def check() -> OpenCVCheck:
    """Examine OpenCV in a child process, so that a crash is survived."""
    seen = child.run("cvsr.opencv.check:look")
    if seen["error"]:
        return OpenCVCheck(error=seen["error"])
    devices, models = [DeviceCheck(**each) for each in seen["devices"]], [ModelCheck(**each) for each in seen["models"]]
    return OpenCVCheck(Build(**seen["build"]), "", seen["models_error"], devices, models)


def look() -> dict[str, Any]:
    """Return the fields of OpenCVCheck for the OpenCV of this process. Whatever importing cv2 raises comes through."""
    from cvsr._cv2 import cv2
    from cvsr.opencv import devices, engines

    gui = re.search(r"^\s*GUI:\s*(\S+)", str(cv2.getBuildInformation()), re.MULTILINE)
    superres = getattr(cv2, "dnn_superres", None)
    # only whether it is there: creating one DnnSuperResImpl breaks later nets of the process
    has_superres = hasattr(superres, "DnnSuperResImpl_create")
    build = Build(
        name=engines.opencv_name(),
        version=str(cv2.__version__),
        path=str(cv2.__file__),
        contrib=hasattr(cv2, "ximgproc") or has_superres,
        headless=gui is not None and gui[1] == "NONE",
        dnn=hasattr(cv2, "dnn") and hasattr(cv2.dnn, "readNetFromONNX"),
        dnn_superres="yes" if has_superres else "no" if superres is None else "broken",
        engines=engines.available() or {"classic": 0},
        forced_engine=engines.forced()[0],
    )
    statuses = [DeviceCheck(each.name, each.available, each.evidence, each.remedy) for each in devices.probe()]
    models: list[ModelCheck] = []
    problem = ""
    try:
        models = _models()
    except Exception as error:  # a broken index must not hide what OpenCV said
        problem = f"{type(error).__name__}: {error}"
    return asdict(OpenCVCheck(build, "", problem, statuses, models))


def _models() -> list[ModelCheck]:
    """Compare the bundled models with their checksums."""
    from cvsr.modelfiles import zoo

    found: list[ModelCheck] = []
    for entry in zoo.models():
        ok = entry.intact()
        note = "" if ok else f"{entry.path} is missing or does not match the index (sha256 {entry.sha256})"
        found.append(ModelCheck(entry.name, entry.scale, str(entry.path), entry.sha256, ok, note))
    return found
