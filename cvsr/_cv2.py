"""Import cv2, the only place that does, or raise OpenCVError with the command that installs it."""

import re

from cvsr.errors import OpenCVError

_REMEDY = (
    "Type one of: pip install opencv-python-headless (servers, containers); pip install opencv-python (desktops); "
    "apt install python3-opencv (Debian, Ubuntu, Raspberry Pi OS). "
    "Install only one of the opencv-* wheels: they overwrite each other."
)

try:
    import cv2
except ImportError as error:
    raise OpenCVError(f"cvsr needs OpenCV and `import cv2` failed: {error}. {_REMEDY}") from error

_match = re.match(r"(\d+)\.(\d+)\.(\d+)", getattr(cv2, "__version__", ""))
if _match is None or not hasattr(cv2, "dnn"):
    raise OpenCVError(
        f"`import cv2` found {getattr(cv2, '__file__', 'a package')} without its dnn module: the leftovers of an "
        f"uninstalled or overwritten OpenCV. Remove every opencv-* wheel (pip uninstall), then install one. {_REMEDY}"
    )

VERSION: tuple[int, int, int] = (int(_match[1]), int(_match[2]), int(_match[3]))
"""The version of OpenCV, for example (4, 14, 0)."""

if VERSION < (4, 5, 0):
    raise OpenCVError(f"cvsr needs OpenCV 4.5 or newer and found {cv2.__version__}. {_REMEDY}")

__all__ = ["VERSION", "cv2"]
