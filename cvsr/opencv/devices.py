"""What this OpenCV can run a network on, with evidence.

cv2.dnn goes back to the CPU without an error in many cases, so there are two questions. Before: is the device here?
That is asked here. After the first forward: where did the layers go? That is asked in ``ran``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from cvsr._cv2 import cv2
from cvsr.errors import DeviceError, OptionError
from cvsr.opencv import engines

_AUTO = ("cuda", "cann", "timvx")


@dataclass(frozen=True)
class Device:
    """A back end and a target of cv2.dnn that are here, and how that is known."""

    name: str
    backend: int
    target: int
    backend_name: str
    target_name: str
    needs_classic: bool
    evidence: str
    mark: str = ""  # a pattern: how net.dump() labels the layers that run on it

    @property
    def half(self) -> bool:
        """Whether the device computes in 16-bit floats."""
        return self.name.endswith("-fp16")


@dataclass(frozen=True)
class Status:
    """The answer for one device name: here or not, what was asked and answered, and what to do if it is not."""

    name: str
    available: bool
    evidence: str
    remedy: str
    device: Device | None = None


@dataclass(frozen=True)
class _Row:
    """One device name: its constants in cv2.dnn, how net.dump() marks its layers, and the check that it is here.

    A check returns what was asked and answered, what is wrong ("" if nothing), and the remedy. ``flag`` builds it in.
    """

    backend: str
    target: str
    mark: str
    check: Callable[[_Row], tuple[str, str, str]]
    flag: str = ""


def _call(path: str, *args: Any) -> Any:
    """Return ``cv2.<path>(*args)``, or None where this OpenCV lacks the function or it raises."""
    try:
        value: Any = cv2
        for part in path.split("."):
            value = getattr(value, part)
        return value(*args)
    except Exception:  # cv2.error, and whatever a driver throws: no answer is an answer here
        return None


def _built_with(pattern: str) -> bool:
    return re.search(pattern, str(_call("getBuildInformation") or ""), re.IGNORECASE) is not None


def _targets(row: _Row) -> tuple[list[int], str]:
    """Return the targets that OpenCV lists for the back end, and the sentence that says so."""
    found = _call("dnn.getAvailableTargets", getattr(cv2.dnn, row.backend))
    targets = [] if found is None else [int(value) for value in np.ravel(found)]
    return targets, f"getAvailableTargets({row.backend}) is {targets or 'empty'}"


def _check_cpu(row: _Row) -> tuple[str, str, str]:
    return "the CPU is always there", "", ""


def _check_listed(row: _Row) -> tuple[str, str, str]:
    targets, said = _targets(row)
    if getattr(cv2.dnn, row.target) in targets:
        return said, "", ""
    return said, f"was built without {row.flag}, or finds no such device", f"Use an OpenCV built with {row.flag}"


def _check_cuda(row: _Row) -> tuple[str, str, str]:
    targets, said = _targets(row)
    count = _call("cuda.getCudaEnabledDeviceCount")
    said += f", cv2.cuda.getCudaEnabledDeviceCount() is {count}"
    # Versions differ in whether they list CUDA without a GPU; builds without the cuda bindings cannot count
    if getattr(cv2.dnn, row.target) in targets and count != 0 and (count is None or count > 0):
        return said, "", ""
    if not targets and not count and not _built_with(r"CUDA:\s+YES"):
        remedy = "Build OpenCV with WITH_CUDA and OPENCV_DNN_CUDA (wheels from PyPI never have them)"
        return said, "was built without CUDA", remedy
    if not count or count < 0:
        remedy = "Check nvidia-smi, CUDA_VISIBLE_DEVICES, the driver's version, and that a container may use the GPU"
        return said, "was built with CUDA, but finds no GPU that it can use", remedy
    if not targets:
        remedy = "Build OpenCV with OPENCV_DNN_CUDA and cuDNN, for this GPU's CUDA_ARCH_BIN"
        return said, "was built with CUDA and sees a GPU, but its dnn module cannot use it", remedy
    return said, "finds that this GPU does not compute in 16-bit floats", "Use device='cuda'"


def _check_opencl(row: _Row) -> tuple[str, str, str]:
    # Not asked of getAvailableTargets: it keeps for the whole process what useOpenCL() said at its first call
    if not _call("ocl.haveOpenCL"):
        remedy = "Install the GPU's OpenCL driver (clinfo must list it)"
        if not _built_with(r"OpenCL:\s+YES"):
            remedy = "Use an OpenCV built with WITH_OPENCL"
        return "cv2.ocl.haveOpenCL() is False", "finds no OpenCL", remedy
    with _opencl_on() as on:
        device = _call("ocl.Device_getDefault")
        if not on or device is None:
            remedy = (
                "OpenCV takes GPUs by default: see what OPENCV_OPENCL_DEVICE and OPENCV_OPENCL_RUNTIME say, and "
                "set OPENCV_OPENCL_DEVICE=:CPU:0 before Python starts for OpenCL on the CPU"
            )
            return "cv2.ocl.useOpenCL() stays False", "finds OpenCL, but it is switched off or has no GPU", remedy
        return _check_opencl_device(row, device)


def _check_opencl_device(row: _Row, device: Any) -> tuple[str, str, str]:
    is_gpu = device.type() == getattr(cv2.ocl, "Device_TYPE_GPU", None)
    said = f"OpenCL device {device.name()!r} ({'GPU' if is_gpu else 'no GPU'}, {device.version()})"
    # OpenCV's own rule: GPUs only, and 16 bits on Intel's only, unless this variable is set
    any_device = os.environ.get("OPENCV_DNN_OPENCL_ALLOW_ALL_DEVICES", "").lower() in ("1", "true")
    if not is_gpu and not any_device:
        remedy = "Set OPENCV_DNN_OPENCL_ALLOW_ALL_DEVICES=1 before Python starts to use it all the same"
        return said, "takes OpenCL on GPUs only and would go back to the CPU", remedy
    half_works = device.isExtensionSupported("cl_khr_fp16") and (any_device or device.isIntel())
    if row.target.endswith("FP16") and not half_works:
        return said, "would compute in 32 bits: it takes 16 on Intel GPUs with cl_khr_fp16 only", "Use device='opencl'"
    return said, "", ""


_ROWS = {
    "cpu": _Row("DNN_BACKEND_OPENCV", "DNN_TARGET_CPU", "OCV/CPU", _check_cpu),
    "cuda": _Row("DNN_BACKEND_CUDA", "DNN_TARGET_CUDA", "CUDA/CUDA", _check_cuda),
    "cuda-fp16": _Row("DNN_BACKEND_CUDA", "DNN_TARGET_CUDA_FP16", "CUDA/CUDA_FP16", _check_cuda),
    "opencl": _Row("DNN_BACKEND_OPENCV", "DNN_TARGET_OPENCL", "OCV/OCL", _check_opencl),
    "opencl-fp16": _Row("DNN_BACKEND_OPENCV", "DNN_TARGET_OPENCL_FP16", "OCV/OCL_FP16", _check_opencl),
    "vulkan": _Row("DNN_BACKEND_VKCOM", "DNN_TARGET_VULKAN", "VULKAN/.*", _check_listed, "WITH_VULKAN"),
    "openvino": _Row(
        "DNN_BACKEND_INFERENCE_ENGINE", "DNN_TARGET_CPU", "(OpenVINO|NGRAPH|DLIE)/.*", _check_listed, "WITH_OPENVINO"
    ),
    "cann": _Row("DNN_BACKEND_CANN", "DNN_TARGET_NPU", "(CANN|OCV)/NPU", _check_listed, "WITH_CANN"),
    "timvx": _Row("DNN_BACKEND_TIMVX", "DNN_TARGET_NPU", "TIMVX/.*", _check_listed, "WITH_TIMVX"),
}
NAMES = ("auto", *_ROWS)
"""Every name that ``device=`` takes."""


def _status(name: str) -> Status:
    row = _ROWS[name]
    lacking = [constant for constant in (row.backend, row.target) if not hasattr(cv2.dnn, constant)]
    if lacking:
        said, wrong, remedy = f"no cv2.dnn.{lacking[0]}", f"does not know {name}", "Use a version that does"
    else:
        said, wrong, remedy = row.check(row)
    if not wrong:
        wrong, remedy = engines.lost(name)
    if wrong:
        return Status(name, False, f"{engines.opencv_name()} {wrong} ({said})", remedy)
    forced, _ = engines.forced()
    said = f"{engines.opencv_name()}: {said}" + (f"; {forced}" if forced else "")
    backend, target = int(getattr(cv2.dnn, row.backend)), int(getattr(cv2.dnn, row.target))
    device = Device(name, backend, target, row.backend, row.target, name != "cpu", said, row.mark)
    return Status(name, True, said, "", device)


def probe() -> list[Status]:
    """Ask OpenCV about every device name, "auto" left out."""
    return [_status(name) for name in _ROWS]


def meant(backend: int, target: int) -> str | None:
    """Return the name of the device that two constants of cv2.dnn mean together, None where there is none.

    One of the two may be 0, OpenCV's default: then the other one decides, and the CPU where both are.
    """
    if not backend and not target:
        return "cpu"
    for name, row in _ROWS.items():
        constants = (getattr(cv2.dnn, row.backend, None), getattr(cv2.dnn, row.target, None))
        if backend in (0, constants[0]) and target in (0, constants[1]):
            return name
    return None


def _known(name: str) -> str:
    key = name.strip().lower()
    if key not in NAMES:
        raise OptionError(f"No device is called {name!r}. Use one of: {', '.join(NAMES)}.")
    return key


def resolve(name: str) -> Device:
    """Return the named device ("auto": the best that is here), or raise DeviceError with evidence and remedy.

    Names are case-insensitive; an unknown one raises OptionError.
    """
    return candidates(name)[0]


def candidates(name: str) -> list[Device]:
    """Return what is worth trying for a name, best first: for a device's name that device, else DeviceError.

    "auto" considers CUDA in 32 bits, CANN and TIM-VX where they are, then the CPU. OpenCL and Vulkan are left out
    because cv2.dnn is often slower on them than on the CPU, OpenVINO because it is the same CPU, and 16 bits because
    they change the numbers: who wants one of these names it.
    """
    key = _known(name)
    if key != "auto":
        status = _status(key)
        if status.device is None:
            alternative = "" if "use device=" in status.remedy.lower() else ", or use device='cpu'"
            raise DeviceError(f"Device {key!r} is not available: {status.evidence}. {status.remedy}{alternative}.")
        return [status.device]
    found = [_status(other).device for other in _AUTO if _worth_asking(other)]
    return [device for device in (*found, _status("cpu").device) if device is not None]


def _worth_asking(name: str) -> bool:
    """Tell cheaply that a device cannot be here: getAvailableTargets starts every driver, which takes up to 0.3 s."""
    if name == "cuda":
        return _call("cuda.getCudaEnabledDeviceCount") != 0
    return _built_with({"cann": r"CANN:\s+YES", "timvx": r"TIM-?VX:\s+YES"}[name])


@contextmanager
def _opencl_on() -> Generator[bool, None, None]:
    """Enable OpenCL in this thread (the switch is per thread) for the block; yield whether it is on."""
    before = bool(_call("ocl.useOpenCL"))
    _call("ocl.setUseOpenCL", True)
    try:
        yield bool(_call("ocl.useOpenCL"))
    finally:
        _call("ocl.setUseOpenCL", before)


@contextmanager
def prepare(device: Device) -> Generator[None, None, None]:
    """Set what the calling thread needs to build and run nets on the device; put it back at the end.

    Raise DeviceError where this thread cannot have OpenCL: cv2.dnn would run on the CPU without a word.
    """
    if not device.target_name.startswith("DNN_TARGET_OPENCL"):
        yield
        return
    with _opencl_on() as on:
        if not on:
            raise DeviceError(f"OpenCL cannot be enabled in this thread ({device.evidence}). Use device='cpu'.")
        yield
