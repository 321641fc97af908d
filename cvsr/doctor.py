"""Check this machine: OpenCV, its devices and the bundled models, and what to type about each problem.

Whatever may crash (importing cv2, drivers, forwards) runs in child processes, so that the report survives it. This
module therefore imports neither cv2 nor anything that does.
"""

import importlib.metadata as metadata
import platform
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cvsr.opencv import check, child, wheels
from cvsr.opencv.check import DeviceCheck, ModelCheck, OpenCVCheck
from cvsr.opencv.wheels import Wheel

_INSTALL = "pip install opencv-python-headless (on Debian and Ubuntu also: apt install python3-opencv)"
_REINSTALL = "Reinstall cvsr (pip install --force-reinstall --no-deps cvsr), or check CVSR_MODEL_PATH"


@dataclass(frozen=True)
class Problem:
    """What is wrong and what to do about it; ``serious`` if upscaling does not work."""

    what: str
    remedy: str
    serious: bool


@dataclass(frozen=True)
class ForwardCheck:
    """A small image upscaled on a device: time, difference from the reference, and the error if it failed."""

    device: str
    skipped: bool | None = None
    milliseconds: float | None = None
    difference: float | None = None
    ran_on: str | None = None
    error: str | None = None

    def __str__(self) -> str:
        if self.error:
            return self.error
        kind = "mean difference from bicubic" if self.device == "cpu" else "largest difference from the CPU"
        return f"OK: {self.milliseconds} ms for 64x48 pixels, {kind} {self.difference:.2g} of the range"


@dataclass(frozen=True)
class Report:
    """The result of :func:`report`."""

    opencv: OpenCVCheck
    wheels: list[Wheel]
    forwards: list[ForwardCheck]
    problems: list[Problem]

    @property
    def ok(self) -> bool:
        """Whether everything that upscaling needs works."""
        return not any(problem.serious for problem in self.problems)

    def to_json(self) -> dict[str, Any]:
        """Return the report for ``json.dumps``."""
        opencv = {"error": self.opencv.error} if self.opencv.build is None else asdict(self.opencv.build)
        if self.opencv.models_error:
            opencv["models_error"] = self.opencv.models_error
        runs = [{key: value for key, value in vars(run).items() if value is not None} for run in self.forwards]
        python = {"version": platform.python_version(), "platform": platform.platform(), "executable": sys.executable}
        return {
            "ok": self.ok,
            "problems": [asdict(problem) for problem in self.problems],
            "python": python,
            "cvsr": _cvsr_version(),
            "numpy": _version("numpy"),
            "opencv": opencv,
            "wheels": [asdict(wheel) for wheel in self.wheels],
            "devices": [asdict(device) for device in self.opencv.devices],
            "models": [asdict(model) for model in self.opencv.models],
            "golden": runs,
        }

    def __str__(self) -> str:
        build, models = self.opencv.build, self.opencv.models
        lines = [f"Python {platform.python_version()} on {platform.platform()}"]
        lines.append(f"cvsr {_cvsr_version()}, numpy {_version('numpy')}")
        if build is None:
            lines.append(f"OpenCV: {self.opencv.error}")
        else:
            owners = ", ".join(f"{wheel.name} {wheel.version}" for wheel in self.wheels) or "not from a wheel"
            kind = f"{'contrib' if build.contrib else 'plain'}, {'headless' if build.headless else 'with windows'}"
            lines.append(f"{build.name} ({kind}; {owners})")
            engines = ", ".join(build.engines)
            lines.append(f"  dnn: {build.dnn}, dnn_superres: {build.dnn_superres}, engines: {engines}")
        lines.append("Devices")
        for device in self.opencv.devices:
            evidence = device.evidence.removeprefix(build.name if build else "").lstrip(": ")
            lines.append(f"  {device.name:12}{'yes' if device.available else 'no ':5}{evidence}")
        lines.append("Models" if models else "Models: none")
        lines += [f"  {model.name:18}{model.note or 'checksum OK'}" for model in models]
        lines += ["Test forwards", *(f"  {run.device:12}{run}" for run in self.forwards)]
        for problem in self.problems:
            lines += [f"{'Problem' if problem.serious else 'Note'}: {problem.what}", f"  Fix: {problem.remedy}"]
        lines.append("Ready to upscale." if self.ok else "Not ready to upscale: see the problems above.")
        return "\n".join(lines)


def report() -> Report:
    """Examine the environment. No exception and no crash of OpenCV or a driver gets out of here."""
    owners, opencv = wheels.installed(), check.check()
    forwards = _test_forwards(opencv.devices, opencv.models)
    problems = [
        *_opencv_problems(opencv, owners), *_process_problems(), *_model_problems(opencv), *_forward_problems(forwards)
    ]  # fmt: skip
    return Report(opencv, owners, forwards, problems)


def _cvsr_version() -> str:
    return getattr(sys.modules["cvsr"], "__version__", "of unknown version")


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _opencv_problems(opencv: OpenCVCheck, owners: Sequence[Wheel]) -> list[Problem]:
    found: list[Problem] = []
    rivals, build = wheels.conflicting(owners), opencv.build
    if opencv.error:
        remedy = _INSTALL
        if owners:  # a library such as libGL is missing on servers: the headless wheels need none
            missing_library = re.search(r"lib\S+\.so|DLL", opencv.error) is not None
            remedy = wheels.repair_line(owners, headless=missing_library or None)
        found.append(Problem(f"OpenCV cannot be loaded: {opencv.error}", remedy, True))
    if rivals:
        what = f"{', '.join(wheel.name for wheel in rivals)} are installed together and overwrite each other's files"
        found.append(Problem(what, wheels.repair_line(rivals), False))
    if build and build.dnn_superres == "broken":
        what = "cv2.dnn_superres lacks DnnSuperResImpl_create: another wheel has overwritten the contrib wheel"
        contrib = [*owners, Wheel("opencv-contrib-python", build.version)]
        found.append(Problem(what, wheels.repair_line(rivals or contrib), False))
    if build and build.forced_engine:
        found.append(Problem(f"{build.forced_engine}, which overrides cvsr", "Unset OPENCV_FORCE_DNN_ENGINE", False))
    return found


def _process_problems() -> list[Problem]:
    """Return what other code has done to the OpenCV of this very process, if one is loaded."""
    if "cv2" not in sys.modules:
        return []
    from cvsr.opencv import layer_registry

    if not layer_registry.shadowed():
        return []
    what = (
        "this process has created a cv2.dnn_superres.DnnSuperResImpl, which makes OpenCV compute wrong results for "
        "other networks with a pixel shuffle; cvsr repairs this for its own networks, which breaks such objects"
    )
    return [Problem(what, "Use cvsr.dnn_superres instead: it has the same methods", False)]


def _model_problems(opencv: OpenCVCheck) -> list[Problem]:
    found = [Problem(f"Model {model.name}: {model.note}", _REINSTALL, True) for model in opencv.models if not model.ok]
    if not opencv.models and not opencv.error:
        note = opencv.models_error or "no index.json lists one"
        found.append(Problem(f"No bundled model: {note}", _REINSTALL, True))
    return found


def _forward_problems(forwards: Sequence[ForwardCheck]) -> list[Problem]:
    found: list[Problem] = []
    for run in forwards:
        cpu = run.device == "cpu"
        if run.error and not run.skipped:
            remedy = "Reinstall OpenCV, or try another version" if cpu else "Update the driver, or use device='cpu'"
            found.append(Problem(f"The test forward on {run.device} failed: {run.error}", remedy, cpu))
    return found


def _test_forwards(devices: Sequence[DeviceCheck], models: Sequence[ModelCheck]) -> list[ForwardCheck]:
    """Run a bundled model on every available device, each in a process of its own."""
    available = [device.name for device in devices if device.available]
    usable = sorted((m for m in models if m.ok and m.scale == 2), key=lambda m: m.name != "cvsr-small_x2")
    if not usable:
        return [ForwardCheck(name, skipped=True, error="no bundled model") for name in available]
    return [ForwardCheck(name, **child.run("cvsr.doctor:forward", name, usable[0].path)) for name in available]


def forward(device: str, model: str) -> dict[str, Any]:
    """Upscale a small image on a device and compare it with the CPU's result; the CPU's with bicubic."""
    import numpy as np

    from cvsr._cv2 import cv2
    from cvsr.image import Image
    from cvsr.opencv import devices
    from cvsr.upscaler import Upscaler

    y, x = np.mgrid[0:48, 0:64].astype(np.float32)
    image: Image = (0.5 + 0.45 * np.sin(x / 2 - y / 2.5)).astype(np.float32)
    upscaler = Upscaler(model, 2, device=device)
    upscaler(image)  # loads and compiles
    start = time.perf_counter()
    output = upscaler(image)
    milliseconds = round((time.perf_counter() - start) * 1000, 2)
    if device == "cpu":  # on average a model is within 0.02 of bicubic here, and scrambled pixels are 0.07 away
        bicubic = cv2.resize(image, (128, 96), interpolation=cv2.INTER_CUBIC)
        difference, allowed = float(np.abs(output - bicubic).mean()), 0.06
    else:
        reference = Upscaler(model, 2, device="cpu")(image)
        difference = float(np.abs(output - reference).max())
        allowed = 2e-2 if devices.resolve(device).half else 1e-3
    result = {"milliseconds": milliseconds, "difference": difference, "ran_on": str(upscaler.ran_on)}
    if not difference <= allowed:  # written so that NaN fails
        result["error"] = f"the result differs by {difference:.3g} of the range (allowed: {allowed:g})"
    return result
