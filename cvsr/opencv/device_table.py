"""The table of devices: their constants in cv2.dnn, and the check that each is available. A new device is one row."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from cvsr._cv2 import cv2


@dataclass(frozen=True)
class DeviceType:
    """One device name: its constants in cv2.dnn, how net.dump() labels its layers, and the check of its availability.

    A check returns the evidence, what is wrong ("" if nothing), and the remedy. ``flag`` is its CMake option.
    """

    backend: str
    target: str
    mark: str
    check: Callable[[DeviceType], tuple[str, str, str]]
    flag: str = ""


def call(path: str, *args: Any) -> Any:
    """Return ``cv2.<path>(*args)``, or None if this OpenCV lacks the function or it raises."""
    try:
        value: Any = cv2
        for part in path.split("."):
            value = getattr(value, part)
        return value(*args)
    except Exception:  # cv2.error, or whatever a driver throws
        return None


def built_with(pattern: str) -> bool:
    """Tell whether the build information of OpenCV matches a regular expression."""
    return re.search(pattern, str(call("getBuildInformation") or ""), re.IGNORECASE) is not None


def _targets(row: DeviceType) -> tuple[list[int], str]:
    """Return the targets that OpenCV lists for the back end, and a sentence about them."""
    found = call("dnn.getAvailableTargets", getattr(cv2.dnn, row.backend))
    targets = [] if found is None else [int(value) for value in np.ravel(found)]
    return targets, f"getAvailableTargets({row.backend}) is {targets or 'empty'}"


def _check_cpu(row: DeviceType) -> tuple[str, str, str]:
    return "the CPU is always available", "", ""


def _check_listed(row: DeviceType) -> tuple[str, str, str]:
    targets, said = _targets(row)
    if getattr(cv2.dnn, row.target) in targets:
        return said, "", ""
    return said, f"was built without {row.flag}, or finds no such device", f"Use an OpenCV built with {row.flag}"


def _check_cuda(row: DeviceType) -> tuple[str, str, str]:
    targets, said = _targets(row)
    count = call("cuda.getCudaEnabledDeviceCount")
    said += f", cv2.cuda.getCudaEnabledDeviceCount() is {count}"
    # versions differ in whether they list CUDA without a GPU; builds without the cuda bindings cannot count GPUs
    if getattr(cv2.dnn, row.target) in targets and count != 0 and (count is None or count > 0):
        return said, "", ""
    if not targets and not count and not built_with(r"CUDA:\s+YES"):
        remedy = "Build OpenCV with WITH_CUDA and OPENCV_DNN_CUDA (wheels from PyPI never have them)"
        return said, "was built without CUDA", remedy
    if not count or count < 0:
        remedy = "Check nvidia-smi, CUDA_VISIBLE_DEVICES, the driver version, and the container's access to the GPU"
        return said, "was built with CUDA, but finds no usable GPU", remedy
    if not targets:
        remedy = "Build OpenCV with OPENCV_DNN_CUDA and cuDNN, for this GPU's CUDA_ARCH_BIN"
        return said, "was built with CUDA and sees a GPU, but its dnn module cannot use it", remedy
    return said, "reports that this GPU does not support 16-bit floats", "Use device='cuda'"


@contextmanager
def opencl_enabled() -> Generator[bool, None, None]:
    """Enable OpenCL in this thread for the block (the setting is per thread); yield whether it is on."""
    before = bool(call("ocl.useOpenCL"))
    call("ocl.setUseOpenCL", True)
    try:
        yield bool(call("ocl.useOpenCL"))
    finally:
        call("ocl.setUseOpenCL", before)


def _check_opencl(row: DeviceType) -> tuple[str, str, str]:
    # getAvailableTargets caches for the whole process what useOpenCL() said at its first call
    if not call("ocl.haveOpenCL"):
        remedy = "Install the GPU's OpenCL driver (clinfo must list it)"
        if not built_with(r"OpenCL:\s+YES"):
            remedy = "Use an OpenCV built with WITH_OPENCL"
        return "cv2.ocl.haveOpenCL() is False", "finds no OpenCL", remedy
    with opencl_enabled() as on:
        device = call("ocl.Device_getDefault")
        if not on or device is None:
            remedy = (
                "OpenCV uses GPUs by default: check OPENCV_OPENCL_DEVICE and OPENCV_OPENCL_RUNTIME; for OpenCL on the "
                "CPU, set OPENCV_OPENCL_DEVICE=:CPU:0 before Python starts"
            )
            return "cv2.ocl.useOpenCL() stays False", "finds OpenCL, but it is disabled or has no GPU", remedy
        return _check_opencl_device(row, device)


def _check_opencl_device(row: DeviceType, device: Any) -> tuple[str, str, str]:
    is_gpu = device.type() == getattr(cv2.ocl, "Device_TYPE_GPU", None)
    said = f"OpenCL device {device.name()!r} ({'GPU' if is_gpu else 'not a GPU'}, {device.version()})"
    # OpenCV's own rule: GPUs only, and 16 bits on Intel GPUs only, unless this variable is set
    any_device = os.environ.get("OPENCV_DNN_OPENCL_ALLOW_ALL_DEVICES", "").lower() in ("1", "true")
    if not is_gpu and not any_device:
        remedy = "Set OPENCV_DNN_OPENCL_ALLOW_ALL_DEVICES=1 before Python starts to use it anyway"
        return said, "uses OpenCL on GPUs only, and would fall back to the CPU", remedy
    half_works = device.isExtensionSupported("cl_khr_fp16") and (any_device or device.isIntel())
    if row.target.endswith("FP16") and not half_works:
        return said, "would compute in 32 bits: it uses 16 on Intel GPUs with cl_khr_fp16 only", "Use device='opencl'"
    return said, "", ""


DEVICES = {
    "cpu": DeviceType("DNN_BACKEND_OPENCV", "DNN_TARGET_CPU", "OCV/CPU", _check_cpu),
    "cuda": DeviceType("DNN_BACKEND_CUDA", "DNN_TARGET_CUDA", "CUDA/CUDA", _check_cuda),
    "cuda-fp16": DeviceType("DNN_BACKEND_CUDA", "DNN_TARGET_CUDA_FP16", "CUDA/CUDA_FP16", _check_cuda),
    "opencl": DeviceType("DNN_BACKEND_OPENCV", "DNN_TARGET_OPENCL", "OCV/OCL", _check_opencl),
    "opencl-fp16": DeviceType("DNN_BACKEND_OPENCV", "DNN_TARGET_OPENCL_FP16", "OCV/OCL_FP16", _check_opencl),
    "vulkan": DeviceType("DNN_BACKEND_VKCOM", "DNN_TARGET_VULKAN", "VULKAN/.*", _check_listed, "WITH_VULKAN"),
    "openvino": DeviceType(
        "DNN_BACKEND_INFERENCE_ENGINE", "DNN_TARGET_CPU", "(OpenVINO|NGRAPH|DLIE)/.*", _check_listed, "WITH_OPENVINO"
    ),
    "cann": DeviceType("DNN_BACKEND_CANN", "DNN_TARGET_NPU", "(CANN|OCV)/NPU", _check_listed, "WITH_CANN"),
    "timvx": DeviceType("DNN_BACKEND_TIMVX", "DNN_TARGET_NPU", "TIMVX/.*", _check_listed, "WITH_TIMVX"),
}
