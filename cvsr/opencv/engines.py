"""The engines of cv2.dnn: 4.x has one, "classic"; 5.x has several, of which only the classic one supports GPUs."""

import os
from collections.abc import Sequence
from pathlib import Path

from cvsr._cv2 import VERSION, cv2
from cvsr.errors import DeviceError


def opencv_name() -> str:
    """Return the version of OpenCV and where it is installed."""
    file = Path(getattr(cv2, "__file__", None) or "an unknown place")
    return f"OpenCV {cv2.__version__} from {file.parent if file.name == '__init__.py' else file}"


def available() -> dict[str, int]:
    """Return the ENGINE_* constants of cv2.dnn: {} on 4.x, where the classic engine is the only one."""
    return {name: int(getattr(cv2.dnn, name)) for name in dir(cv2.dnn) if name.startswith("ENGINE_")}


def is_4x() -> bool:
    """Whether this OpenCV is older than 5, and so has only one engine."""
    return int(cv2.__version__.split(".")[0]) < 5


def forced() -> tuple[str, bool]:
    """Return the effect of OPENCV_FORCE_DNN_ENGINE ("": none), and whether ENGINE_CLASSIC can still be used."""
    value, known = os.environ.get("OPENCV_FORCE_DNN_ENGINE", "").strip(), available()
    classic = is_4x() or "ENGINE_CLASSIC" in known
    if not value or is_4x() or value == str(known.get("ENGINE_AUTO")):  # AUTO forces nothing
        return "", classic
    name = next((name for name, number in known.items() if str(number) == value), "an unknown engine")
    return f"OPENCV_FORCE_DNN_ENGINE={value} in the environment forces {name}", classic and name == "ENGINE_CLASSIC"


def unavailable(name: str) -> tuple[str, str]:
    """Return what is wrong and the remedy if a device needs the classic engine of 5.x and it is unavailable."""
    said, classic = forced()
    if name == "cpu" or classic:
        return "", ""
    if said:
        return f"would not use it: {said}, and only ENGINE_CLASSIC runs on {name}", "Unset OPENCV_FORCE_DNN_ENGINE"
    return f"has no ENGINE_CLASSIC, the only engine that runs on {name}", "Use OpenCV 4.x or 5.0"


def argument(device: str, exact: bool = False, ops: Sequence[str] = ()) -> dict[str, int]:
    """Return the keyword for ``cv2.dnn.readNet*`` on a named device.

    {} on 4.x, {"engine": ENGINE_CLASSIC} on 5.x as long as it exists.

    The classic engine supports every device, reads more files and is faster, except for networks with a ConvTranspose
    among their ``ops``, for which it takes ten times as long. For ``exact`` results its Winograd convolutions must be
    disabled; without it, ``exact`` requests ENGINE_NEW, which has none. OpenCV 5.0 ignores the keyword when it reads
    from memory: read from a file. Raise DeviceError if a device other than the CPU loses its engine.
    """
    wrong, remedy = unavailable(device)
    if wrong:
        raise DeviceError(f"{opencv_name()} {wrong}. {remedy}, or use device='cpu'.")
    known = available()
    slow = device == "cpu" and "ConvTranspose" in ops and "ENGINE_NEW" in known
    engine = "ENGINE_NEW" if slow or (exact and "ENGINE_CLASSIC" not in known) else "ENGINE_CLASSIC"
    return {"engine": known[engine]} if engine in known else {}


def is_classic(argument: dict[str, int]) -> bool:
    """Whether a net that was read with the result of :func:`argument` runs on the classic engine."""
    said, classic = forced()
    if is_4x() or said:
        return classic
    return argument.get("engine", -1) == available().get("ENGINE_CLASSIC")


def grain(exact: bool) -> int:
    """Return the multiple of pixels at which tiles must begin and end for exact results.

    Before 4.7, convolutions round the last few values of a plane differently from the others.
    """
    return 16 if exact and VERSION < (4, 7, 0) else 1
