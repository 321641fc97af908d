"""Whose "DepthToSpace" cv2.dnn takes: every net of the process shares one table of layers.

    OpenCV's own (4.11 and later) ── what another library registered ── what cvsr registers for one net (before 4.11)
                                                                        the last one counts

Creating one ``cv2.dnn_superres.DnnSuperResImpl`` registers a layer, once in a process, that ignores what a file says
and guesses from the number of channels. That is right for TensorFlow's networks of one or three channels that enlarge
by 2 to 4 at the very end, and wrong for others, without an error.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import warnings
from collections.abc import Generator
from typing import Any, cast

import numpy as np

from cvsr._cv2 import VERSION, cv2
from cvsr.image import Image
from cvsr.modelfiles.onnx_writer import Graph

LOCK = threading.RLock()
"""Held while the table of layers is changed."""

_TYPE = "DepthToSpace"
_BUILT_IN = VERSION >= (4, 11, 0)


@functools.lru_cache(maxsize=1)
def _example() -> bytes:
    """Return a network of one shuffle, 8 channels to 2, which cannot be told from the number of channels."""
    graph = Graph()
    out = graph.add(_TYPE, ["x"], blocksize=2)
    return graph.serialized(("x", (1, 8, 1, 1)), {"y": (out, (1, 2, 2, 2))})


def shadowed() -> bool:
    """Whether another layer lies over OpenCV's own, found out by running a tiny net. Before 4.11 there is none."""
    if not _BUILT_IN:
        return False
    try:
        net = cv2.dnn.readNetFromONNX(np.frombuffer(_example(), np.uint8))
        net.setInput(np.zeros((1, 8, 1, 1), np.float32))
        return net.forward().shape != (1, 2, 2, 2)
    except cv2.error:
        return True


def restore() -> bool:
    """Take away what lies over OpenCV's own layer; return whether something did."""
    with LOCK:
        if not shadowed():  # or OpenCV's own would be taken away
            return False
        cv2.dnn_unregisterLayer(_TYPE)
        return True


@contextlib.contextmanager
def depth_to_space(kind: str) -> Generator[None]:
    """Let "DepthToSpace" be what a file of ``kind`` ("onnx" or "pb") means, for loading a net and its first forward.

    A net keeps the layers that it has got then. Warns where another library's layer had to be taken away.
    """
    if _BUILT_IN:
        # wheels without that module have nothing that would register one
        if hasattr(cv2, "dnn_superres") and restore():
            _warn()
        yield
    elif kind == "onnx":  # the importer makes other layers of it
        yield
    else:
        with LOCK:  # on top of all others, and gone again: registering a type twice aborts the process on some versions
            cv2.dnn_registerLayer(_TYPE, cast("Any", _DepthToSpace))
            try:
                yield
            finally:
                cv2.dnn_unregisterLayer(_TYPE)


def _warn() -> None:
    text = (
        "another part of this process has created a cv2.dnn_superres.DnnSuperResImpl, which changes what OpenCV "
        "computes for other networks with a pixel shuffle; cvsr has undone that. Models that such an object reads from "
        "now on will fail in it: use cvsr.dnn_superres, or cvsr.Upscaler(..., engine='superres'), in its place"
    )
    warnings.warn(text, RuntimeWarning, stacklevel=8)


class _DepthToSpace:
    """TensorFlow's DepthToSpace for OpenCV before 4.11, which has no such layer. cv2.dnn hands it NCHW blobs."""

    def __init__(self, params: dict[str, Any], _blobs: object) -> None:
        self.block = int(params["block_size"])

    def getMemoryShapes(self, inputs: list[list[int]]) -> list[list[int]]:  # noqa: N802 - the name that cv2 calls
        n, c, h, w = (int(v) for v in inputs[0])
        return [[n, c // self.block**2, h * self.block, w * self.block]]

    def forward(self, inputs: list[Image]) -> list[Image]:
        (x,), b = inputs, self.block
        n, c, h, w = x.shape
        x = x.reshape(n, b, b, c // b**2, h, w).transpose(0, 3, 4, 1, 5, 2)
        return [np.ascontiguousarray(x).reshape(n, c // b**2, h * b, w * b)]
