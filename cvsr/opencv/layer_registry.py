"""Which "DepthToSpace" layer cv2.dnn uses: all nets of a process share one registry, in which the last entry wins.

    OpenCV's own (4.11 and later) ── another library's ── cvsr's, for one net (before 4.11)

The first ``cv2.dnn_superres.DnnSuperResImpl`` of a process registers a layer that ignores the file's attributes and
guesses from the number of channels. This is right for TensorFlow networks of one or three channels that enlarge by 2 to
4 at the very end, and silently wrong for others.
"""

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
"""Held while the registry is changed."""

_TYPE = "DepthToSpace"
_BUILT_IN = VERSION >= (4, 11, 0)


@functools.lru_cache(maxsize=1)
def _example() -> bytes:
    """Return a network of one shuffle, 8 channels to 2, which cannot be guessed from the number of channels."""
    graph = Graph()
    out = graph.add(_TYPE, ["x"], blocksize=2)
    return graph.serialized(("x", (1, 8, 1, 1)), {"y": (out, (1, 2, 2, 2))})


def shadowed() -> bool:
    """Whether another layer hides OpenCV's own, found out by running a tiny net. Before 4.11 there is none."""
    if not _BUILT_IN:
        return False
    try:
        net = cv2.dnn.readNetFromONNX(np.frombuffer(_example(), np.uint8))
        net.setInput(np.zeros((1, 8, 1, 1), np.float32))
        return net.forward().shape != (1, 2, 2, 2)
    except cv2.error:
        return True


def restore() -> bool:
    """Unregister a layer that hides OpenCV's own; return whether there was one."""
    with LOCK:
        if not shadowed():  # else OpenCV's own would be removed
            return False
        cv2.dnn_unregisterLayer(_TYPE)
        return True


@contextlib.contextmanager
def depth_to_space(kind: str) -> Generator[None]:
    """Make "DepthToSpace" the layer that a file of ``kind`` ("onnx" or "pb") needs, for loading and the first forward.

    A net keeps the layers it gets then. Warns if another library's layer had to be removed.
    """
    if _BUILT_IN:
        # only that module registers one
        if hasattr(cv2, "dnn_superres") and restore():
            _warn()
        yield
    elif kind == "onnx":  # the importer turns it into other layers
        yield
    else:
        with LOCK:  # removed again: registering a type twice aborts the process on some versions
            cv2.dnn_registerLayer(_TYPE, cast("Any", _DepthToSpace))
            try:
                yield
            finally:
                cv2.dnn_unregisterLayer(_TYPE)


def _warn() -> None:
    text = (
        "this process has created a cv2.dnn_superres.DnnSuperResImpl, which makes OpenCV compute wrong results for "
        "other networks with a pixel shuffle; cvsr has undone this. Models that such an object reads from now on will "
        "fail: use cvsr.dnn_superres or cvsr.Upscaler(..., engine='superres') instead"
    )
    warnings.warn(text, RuntimeWarning, stacklevel=8)


class _DepthToSpace:
    """TensorFlow's DepthToSpace for OpenCV before 4.11, which lacks it; cv2.dnn passes NCHW blobs."""

    def __init__(self, params: dict[str, Any], _blobs: object) -> None:
        self.block = int(params["block_size"])

    def getMemoryShapes(self, inputs: list[list[int]]) -> list[list[int]]:  # noqa: N802 - called by cv2
        n, c, h, w = (int(v) for v in inputs[0])
        return [[n, c // self.block**2, h * self.block, w * self.block]]

    def forward(self, inputs: list[Image]) -> list[Image]:
        (x,), b = inputs, self.block
        n, c, h, w = x.shape
        x = x.reshape(n, b, b, c // b**2, h, w).transpose(0, 3, 4, 1, 5, 2)
        return [np.ascontiguousarray(x).reshape(n, c // b**2, h * b, w * b)]
