"""The devices that this OpenCV can run a network on, with evidence.

cv2.dnn often falls back to the CPU without an error, so there are two checks. This module checks whether a device is
available; ``ran_on.py`` checks after the first forward where the layers ran.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from cvsr._cv2 import cv2
from cvsr.errors import DeviceError, OptionError
from cvsr.opencv import engines
from cvsr.opencv.device_table import DEVICES, built_with, call, opencl_enabled

_AUTO = ("cuda", "cann", "timvx")


@dataclass(frozen=True)
class Device:
    """An available back end and target of cv2.dnn, with the evidence."""

    name: str
    backend: int
    target: int
    backend_name: str
    target_name: str
    evidence: str
    mark: str = ""  # a pattern: how net.dump() labels layers that run on it

    @property
    def half(self) -> bool:
        """Whether the device computes in 16-bit floats."""
        return self.name.endswith("-fp16")


@dataclass(frozen=True)
class Status:
    """Whether a device is available, with the evidence, and what to do if it is not."""

    name: str
    available: bool
    evidence: str
    remedy: str
    device: Device | None = None


NAMES = ("auto", *DEVICES)
"""The names that ``device=`` accepts."""


def _status(name: str) -> Status:
    row = DEVICES[name]
    lacking = [constant for constant in (row.backend, row.target) if not hasattr(cv2.dnn, constant)]
    if lacking:
        said, wrong, remedy = f"no cv2.dnn.{lacking[0]}", f"does not know {name}", "Use a version that does"
    else:
        said, wrong, remedy = row.check(row)
    if not wrong:
        wrong, remedy = engines.unavailable(name)
    if wrong:
        return Status(name, False, f"{engines.opencv_name()} {wrong} ({said})", remedy)
    forced, _ = engines.forced()
    said = f"{engines.opencv_name()}: {said}" + (f"; {forced}" if forced else "")
    backend, target = int(getattr(cv2.dnn, row.backend)), int(getattr(cv2.dnn, row.target))
    device = Device(name, backend, target, row.backend, row.target, said, row.mark)
    return Status(name, True, said, "", device)


def probe() -> list[Status]:
    """Return the status of every device, without "auto"."""
    return [_status(name) for name in DEVICES]


def meant(backend: int, target: int) -> str | None:
    """Return the name of the device for a back end and a target of cv2.dnn, None if there is none.

    0 is OpenCV's default: if one of them is 0, the other decides; if both are, it is the CPU.
    """
    if not backend and not target:
        return "cpu"
    for name, row in DEVICES.items():
        constants = (getattr(cv2.dnn, row.backend, None), getattr(cv2.dnn, row.target, None))
        if backend in (0, constants[0]) and target in (0, constants[1]):
            return name
    return None


def checked(name: str) -> str:
    """Return the name of a device in lower case; raise OptionError, listing the names, if it is unknown."""
    key = str(name).strip().lower()
    if key not in NAMES:
        raise OptionError(f"unknown device {name!r}: use one of {', '.join(NAMES)}")
    return key


def resolve(name: str) -> Device:
    """Return the named device ("auto": the best available), or raise DeviceError with evidence and remedy.

    Names are case-insensitive; an unknown one raises OptionError.
    """
    return candidates(name)[0]


def candidates(name: str) -> list[Device]:
    """Return the devices to try for a name, best first; for a device's own name only that one, or raise DeviceError.

    "auto" tries CUDA in 32 bits, CANN and TIM-VX if available, then the CPU. It never tries OpenCL and Vulkan, because
    cv2.dnn is often slower on them than on the CPU, OpenVINO, because it is the same CPU, and 16 bits, because they
    change the results: these must be named.
    """
    key = checked(name)
    if key != "auto":
        status = _status(key)
        if status.device is None:
            alternative = "" if "use device=" in status.remedy.lower() else ", or use device='cpu'"
            raise DeviceError(f"Device {key!r} is not available: {status.evidence}. {status.remedy}{alternative}.")
        return [status.device]
    found = [_status(other).device for other in _AUTO if _worth_asking(other)]
    return [device for device in (*found, _status("cpu").device) if device is not None]


def _worth_asking(name: str) -> bool:
    """Rule out a device cheaply: getAvailableTargets starts every driver, which takes up to 0.3 s."""
    if name == "cuda":
        return call("cuda.getCudaEnabledDeviceCount") != 0
    return built_with({"cann": r"CANN:\s+YES", "timvx": r"TIM-?VX:\s+YES"}[name])


@contextmanager
def prepare(device: Device) -> Generator[None, None, None]:
    """Set up the calling thread to load and run nets on the device; restore its settings at the end.

    Raise DeviceError if OpenCL cannot be enabled in this thread: cv2.dnn would silently run on the CPU.
    """
    if not device.target_name.startswith("DNN_TARGET_OPENCL"):
        yield
        return
    with opencl_enabled() as on:
        if not on:
            raise DeviceError(f"OpenCL cannot be enabled in this thread ({device.evidence}). Use device='cpu'.")
        yield
