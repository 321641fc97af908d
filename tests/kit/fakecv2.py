"""A cv2 of any version with any devices, as far as :mod:`cvsr.opencv` looks."""

from __future__ import annotations

from types import SimpleNamespace

CONSTANTS = {
    "DNN_BACKEND_INFERENCE_ENGINE": 2,
    "DNN_BACKEND_OPENCV": 3,
    "DNN_BACKEND_VKCOM": 4,
    "DNN_BACKEND_CUDA": 5,
    "DNN_BACKEND_TIMVX": 7,
    "DNN_BACKEND_CANN": 8,
    "DNN_TARGET_CPU": 0,
    "DNN_TARGET_OPENCL": 1,
    "DNN_TARGET_OPENCL_FP16": 2,
    "DNN_TARGET_VULKAN": 4,
    "DNN_TARGET_CUDA": 6,
    "DNN_TARGET_CUDA_FP16": 7,
    "DNN_TARGET_NPU": 9,
}
ENGINES_50 = {"ENGINE_CLASSIC": 1, "ENGINE_NEW": 2, "ENGINE_AUTO": 3, "ENGINE_ORT": 4}
ENGINES_LATER = {"ENGINE_NEW": 2, "ENGINE_AUTO": 3, "ENGINE_ORT": 4}
CUDA_INFO = "  NVIDIA CUDA:                   YES (ver 12.4, CUFFT CUBLAS)\n"


class FakeOpenCL:
    """cv2.ocl with one device, whose switch works as OpenCV's: it cannot be on without a device."""

    Device_TYPE_GPU = 4

    def __init__(self, *, have=True, kind=4, extensions=(), intel=False, enabled=False):
        self.have, self.on, self.present = have, enabled, kind is not None
        self.device = SimpleNamespace(
            name=lambda: "Fake", type=lambda: kind, version=lambda: "OpenCL 3.0",
            isExtensionSupported=lambda name: name in extensions, isIntel=lambda: intel,
        )  # fmt: skip

    def haveOpenCL(self):
        return self.have

    def useOpenCL(self):
        return self.on

    def setUseOpenCL(self, on):
        self.on = on and self.have and self.present

    def Device_getDefault(self):
        return self.device


def fake_cv2(version="4.14.0", targets=None, *, gpus: int | None = 0, info="", engines=None, ocl=None, without=()):
    constants = {name: value for name, value in (CONSTANTS | (engines or {})).items() if name not in without}
    listed = {CONSTANTS[key]: value for key, value in (targets or {}).items()}
    asked: list[int] = []

    def available(backend):
        asked.append(backend)
        return [CONSTANTS[name] for name in listed.get(backend, [])] or ()

    cv2 = SimpleNamespace(
        __version__=version,
        __file__="/somewhere/cv2/__init__.py",
        dnn=SimpleNamespace(**constants, getAvailableTargets=available),
        ocl=ocl or FakeOpenCL(have=False),
        getBuildInformation=lambda: info,
        getNumThreads=lambda: 2,
        asked=asked,
    )
    if gpus is not None:
        cv2.cuda = SimpleNamespace(getCudaEnabledDeviceCount=lambda: gpus)
    return cv2


CUDA = {"DNN_BACKEND_CUDA": ["DNN_TARGET_CUDA", "DNN_TARGET_CUDA_FP16"]}
NPUS = {"DNN_BACKEND_CANN": ["DNN_TARGET_NPU"], "DNN_BACKEND_TIMVX": ["DNN_TARGET_NPU"]}
