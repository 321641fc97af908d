"""Where a net really ran, read after its first forward: cv2.dnn sometimes falls back to the CPU silently."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvsr.errors import DeviceError
from cvsr.opencv import devices, engines, threads
from cvsr.opencv.devices import Device


@dataclass(frozen=True)
class RanOn:
    """What really ran: OpenCV's version, engine ("classic" or "new"), back end and target, the evidence, and the plan.

    ``plan``: how a large image is divided, and why.
    """

    opencv: str
    engine: str
    backend: str
    target: str
    device: str
    requested: str
    evidence: str
    threads: int
    plan: str = ""

    def __str__(self) -> str:
        asked = "" if self.requested == self.device else f" (asked: {self.requested})"
        where = f"{self.backend}/{self.target}, {self.engine} engine, {self.threads} threads"
        how = f"; {self.plan}" if self.plan else ""
        return f"{self.device}{asked} on OpenCV {self.opencv}: {where}; {self.evidence}{how}"


def _dump(net: Any) -> str:
    try:
        return str(net.dump())
    except devices.cv2.error:  # it fails on some unusual layers, which is harmless
        return ""


def engine_of(net: Any) -> str:
    """Return "new" or "classic": the engine that a net really has, whatever was requested."""
    return "new" if not engines.is_4x() and _dump(net).lstrip().startswith("{") else "classic"


def layers(net: Any) -> dict[str, int]:
    """Count a net's layers by where they ran, for example {"OCV/OCL": 6}, after a forward; {} on the new engine."""
    return dict(Counter(re.findall(r'\\[ln](\w+/\w+)\\n(?: \})?" fillcolor', _dump(net))))


def confirm(device: Device, net: Any) -> str:
    """Read from a net where it ran, after its first forward; return that as evidence.

    Raise DeviceError if no layer ran on the device. For CUDA, Vulkan and the accelerators OpenCV reports each layer;
    for OpenCL it reports what it accepted, which is right if the forward ran inside ``prepare``.
    """
    if engine_of(net) == "new":
        total, here = 1, 0
        where = "on the new engine, which runs on the CPU only"
    else:
        found = layers(net)
        total = sum(found.values())
        here = sum(count for label, count in found.items() if re.fullmatch(device.mark, label))
        where = ", ".join(f"{count} of {total} layers on {label}" for label, count in found.items())
    if total and not here and device.name != "cpu":
        raise DeviceError(
            f"Device {device.name!r} was requested, but OpenCV ran elsewhere without an error: {where} "
            f"({device.evidence}). Use device='cpu', or a model whose layers this device supports."
        )
    return f"net.dump(): {where}" if total else "this OpenCV does not report where the layers ran"


def ran_on(device: Device, requested: str, net: Any) -> RanOn:
    """Return the record of what ran, read from a net after its first forward, inside ``prepare``."""
    evidence = f"{device.evidence.removeprefix(f'{engines.opencv_name()}: ')}; {confirm(device, net)}"
    version, running = str(devices.cv2.__version__), threads.count()
    names = (device.backend_name, device.target_name, device.name, requested)
    return RanOn(version, engine_of(net), *names, evidence, running)


def agrees(output: NDArray[Any], reference: NDArray[Any], *, half: bool = False) -> str | None:
    """Return None if a device's output agrees with the CPU's for the same input, else the reason.

    The tolerance is 1e-3 of the reference's range (``half``, for 16-bit devices: 2e-2).
    """
    if output.shape != reference.shape:
        return f"shape {output.shape} instead of {reference.shape}"
    if not np.isfinite(output).all():
        return "NaN or infinite values"
    low, high = float(reference.min()), float(reference.max())
    if float(output.min()) == float(output.max()) and low != high:
        return f"constant {float(output.min()):.4g} everywhere"
    # a constant reference has no range: use its magnitude
    tolerance = (2e-2 if half else 1e-3) * (high - low or max(abs(high), 1.0))
    difference = float(np.abs(output.astype(np.float64) - reference).max())
    return None if difference <= tolerance else f"error {difference:.3g}, allowed {tolerance:.3g}"
