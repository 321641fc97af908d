"""Time a network layer by layer, for one tile on one thread, as a worker computes it."""

import statistics
from dataclasses import dataclass

import numpy as np

from cvsr.bench import cost
from cvsr.errors import OptionError
from cvsr.inference import plan
from cvsr.inference.network import Network
from cvsr.modelfiles.info import ModelInfo
from cvsr.opencv import devices, threads

_ROUNDS = 20


@dataclass(frozen=True)
class Layer:
    """A layer of OpenCV: name, kind, median seconds, and multiply-accumulates (None if unknown)."""

    name: str
    kind: str
    seconds: float
    macs: int | None


def profile(info: ModelInfo) -> tuple[int, list[Layer]]:
    """Return the side of a tile with its halo, and its layers; those that OpenCV fused into others are missing.

    Raises OptionError for an interpolation, or if this OpenCV does not time layers.
    """
    if info.format == "interpolation":
        raise OptionError(f"{info.name} is an interpolation: it has no layers to time")
    side = (plan.side(info, None) or 256) + 2 * (info.radius or 0)
    side += -side % info.multiple
    network = Network(info, devices.resolve("cpu"))
    blob = np.random.default_rng(0).random((1, info.channels, side, side), np.float32) * np.float32(info.range)
    taken: list[list[float]] = []
    with threads.single_threaded(True):
        for _ in range(_ROUNDS + 3):
            network.forward(blob)
            taken.append([seconds for _, _, seconds in network.layers()])
    found = network.layers()
    medians = [statistics.median(times) for times in zip(*taken[3:], strict=True)]
    if not any(medians):
        raise OptionError("this OpenCV or its new engine does not time layers: use 4.x, or the classic engine of 5.0")
    kernels = iter(cost.kernels(network.info))
    area = side**2 * (info.scale**2 if info.inputs == "bicubic" else 1)
    rows: list[Layer] = []
    for (name, kind, _), seconds in zip(found, medians, strict=True):
        weights = next(kernels, None) if kind in ("Convolution", "Deconvolution") else None
        if seconds:
            rows.append(Layer(name, kind, seconds, weights and weights * area))
    return side, rows
