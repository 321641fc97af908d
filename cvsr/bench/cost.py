"""The multiply-accumulates of a network, and the peak rate of the machine."""

import math
import time

import numpy as np

from cvsr._cv2 import cv2
from cvsr.errors import ModelError
from cvsr.inference.network import as_onnx
from cvsr.modelfiles import protobuf
from cvsr.modelfiles.info import ModelInfo

_ENLARGES = ("ConvTranspose", "DepthToSpace", "Reshape", "Resize", "Upsample")  # shuffles are written as Reshapes


def macs(info: ModelInfo, size: tuple[int, int]) -> int | None:
    """Return the multiply-accumulates of all convolutions for an image of ``size`` = (width, height).

    None if a convolution follows an upsampling layer, since its size is then unknown without running the network.
    """
    try:
        each = kernels(info)
    except ModelError:
        return None
    if None in each:
        return None
    return sum(filter(None, each)) * size[0] * size[1] * (info.scale**2 if info.inputs == "bicubic" else 1)


def kernels(info: ModelInfo) -> list[int | None]:
    """Return the multiply-accumulates per pixel of each convolution, in order; None after an upsampling layer.

    Raises ModelError if the file cannot be read as ONNX.
    """
    graph = next(protobuf.messages(as_onnx(info).onnx, 7))
    weights = {protobuf.text(tensor, 8): math.prod(protobuf.ints(tensor, 1)) for tensor in protobuf.messages(graph, 5)}
    found: list[int | None] = []
    enlarged = False
    for node in protobuf.messages(graph, 1):
        op = protobuf.text(node, 4)
        if op in ("Conv", "ConvTranspose"):
            names = [bytes(name).decode() for name in protobuf.messages(node, 1)]
            found.append(None if enlarged else weights.get(names[1], 0))
        enlarged = enlarged or op in _ENLARGES
    return found


def machine(threads: int) -> float:
    """Return the peak multiply-accumulates per second: the best of several large float32 matrix products."""
    before = cv2.getNumThreads()
    side = 1024
    a = np.random.default_rng(0).random((side, side), np.float32)
    best = math.inf
    try:
        cv2.setNumThreads(threads)
        for _ in range(10):
            began = time.perf_counter()
            np.matmul(a, a)
            best = min(best, time.perf_counter() - began)
    finally:
        cv2.setNumThreads(before)
    return side**3 / best
