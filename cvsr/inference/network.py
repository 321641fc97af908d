"""A model file on cv2.dnn: load and forward, with one net per thread."""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
import threading
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cvsr._cv2 import VERSION, cv2
from cvsr.errors import DeviceError, ModelError
from cvsr.image import Image
from cvsr.inference import processing
from cvsr.modelfiles.info import ModelInfo, read_bytes
from cvsr.opencv import devices, engines, ran_on
from cvsr.opencv.devices import Device
from cvsr.opencv.ran_on import RanOn

if TYPE_CHECKING:
    from cvsr.modelfiles.tensorflow import importer


UNFUSED = frozenset({
    "Abs", "Elu", "Exp", "HardSigmoid", "LeakyRelu", "PRelu", "Selu", "Sigmoid", "Softplus", "Tanh",
})  # fmt: skip
"""Activations that are 1.2 to 6 times slower fused with a convolution, which calls them row by row."""


class Network:
    """A model on a device. ``cv2.dnn.Net`` gives wrong results when threads share one, so each thread has its own.

    ``info`` describes the network as it runs: a frozen graph that runs as ONNX may end before the pixel shuffle.
    """

    def __init__(self, info: ModelInfo, device: Device, *, exact: bool = False, importer: bool = False) -> None:
        """``importer``: read a frozen graph with OpenCV's own importer instead of rewriting it as ONNX."""
        self.device, self.exact = device, exact
        self._rewritten = None if importer else _rewritten(info)
        cut = self._rewritten is not None and self._rewritten.subpixel
        self.info = replace(info, tail="subpixel") if cut else info
        self._ops = frozenset(self._rewritten.ops if self._rewritten else info.ops if info.format == "onnx" else ())
        self._local = threading.local()
        self.ran_on: RanOn | None = None

    def forward(self, blob: Image, requested: str = "") -> Image:
        """Return the network's output for ``blob``, float32 (1, C, h, w), at the image's own size, as a new array.

        If the network reads an enlarged image, it is made from ``blob``. Raises DeviceError, or ModelError with the
        size, if OpenCV fails.
        """
        names = self.info.names or ("",)
        with devices.prepare(self.device), self._layers():
            net = getattr(self._local, "net", None)
            if net is None:
                net = self._load()
            try:
                for name, fed in zip(names, processing.inputs(blob, self.info, self.exact), strict=True):
                    net.setInput(fed, name)
                # by name if the graph has several outputs: 4.x and 5.x differ in which one they return
                result: Image = net.forward(self.info.output) if self.info.output else net.forward()
            except cv2.error as error:
                raise self._explained(error, blob) from error
            if self._rewritten and self._rewritten.tanh:
                np.tanh(result, out=result)
            self._local.net = net
            if self.ran_on is None:
                self.ran_on = ran_on.ran_on(self.device, requested or self.device.name, net)
        return result

    def layers(self) -> list[tuple[str, str, float]]:
        """Return (name, kind, seconds) of each layer in this thread's last forward, measured by OpenCV."""
        net = self._local.net
        ticks = np.ravel(net.getPerfProfile()[1]) / cv2.getTickFrequency()
        found = [net.getLayer(net.getLayerId(name)) for name in net.getLayerNames()]
        return [(one.name, one.type, float(time)) for one, time in zip(found, ticks, strict=False)]

    def unload(self) -> None:
        """Free the memory of this thread's net; the next forward loads it again."""
        self._local.net = None

    def _layers(self) -> contextlib.AbstractContextManager[None]:
        """Return the context of the first forward, in which OpenCV creates a net's layers."""
        if "DepthToSpace" not in self.info.ops or self._rewritten or getattr(self._local, "net", None) is not None:
            return contextlib.nullcontext()
        from cvsr.opencv import layer_registry  # lazy: keeps the import of cvsr fast

        return layer_registry.depth_to_space(self.info.format)

    def _explained(self, error: Exception, blob: Image) -> Exception:
        said = " ".join(str(error).split())
        if self.device.name != "cpu":
            return DeviceError(f"{self.device.name} failed on {self.info.name}: {said}. Use device='cpu'.")
        height, width = blob.shape[2:]
        return ModelError(f"OpenCV {cv2.__version__} cannot run {self.info.name} on {width}x{height} pixels: {said}")

    def _load(self) -> Any:
        path = self.info.path
        if path is None:
            raise ModelError(f"{self.info.name} has no file")
        try:
            net = self._read(path)
        except cv2.error as error:
            said = " ".join(str(error).split())
            raise ModelError(f"OpenCV {cv2.__version__} cannot load {path}: {said}") from error
        return self.configured(net)

    def configured(self, net: Any) -> Any:
        """Put a net that was just read on the device, and return it."""
        classic = engines.is_classic(engines.argument(self.device.name, self.exact, self.info.ops))
        if classic:  # the new engine of 5.0 warns
            net.setPreferableBackend(self.device.backend)
            net.setPreferableTarget(self.device.target)
        # Winograd convolutions round differently depending on where a tile begins, by about 1e-6
        if self.exact and hasattr(net, "enableWinograd"):
            net.enableWinograd(False)
        slow = self.device.name == "cpu" and self._ops & UNFUSED and "BatchNormalization" not in self._ops
        if slow and classic:  # the new engine loses the network if this is called
            net.enableFusion(False)
        return net

    def _read(self, path: Path) -> Any:
        engine = engines.argument(self.device.name, self.exact, self.info.ops)
        if self.info.format == "onnx" and VERSION < (4, 8, 0) and "Cast" in self.info.ops:  # weights in 16 bits
            return cv2.dnn.readNetFromONNX(np.frombuffer(as_onnx(self.info).onnx, np.uint8))
        if self.info.format == "onnx":
            return cv2.dnn.readNetFromONNX(str(path), **engine)
        if self._rewritten and not engine:
            return cv2.dnn.readNetFromONNX(np.frombuffer(self._rewritten.onnx, np.uint8))
        if self._rewritten:  # from memory, 5.0 ignores the requested engine
            with file_of(self._rewritten.onnx, ".onnx") as name:
                return cv2.dnn.readNetFromONNX(name, **engine)
        from cvsr.modelfiles.tensorflow import graphdef

        data = read_bytes(path)
        if VERSION >= (4, 11, 0):
            data = graphdef.add_blocksize(data)
        with file_of(data, ".pb") as name:
            read: Any = cv2.dnn.readNetFromTensorflow
            return read(name, **engine)


def _rewritten(info: ModelInfo) -> importer.Rewritten | None:
    """Return a frozen graph as ONNX; None for other files, and if only OpenCV's importer can read it."""
    if info.format != "pb" or info.path is None:
        return None
    try:
        return as_onnx(info)
    except ModelError as error:
        if hasattr(cv2.dnn, "readNetFromTensorflow"):
            return None
        raise ModelError(
            f"OpenCV {cv2.__version__} cannot read frozen TensorFlow graphs, and cvsr cannot read {info.path}: {error}"
        ) from error


def as_onnx(info: ModelInfo) -> importer.Rewritten:
    """Return the ONNX bytes of a model file of either format, and what must be done to its outputs.

    Raises ModelError for a frozen graph that cannot be rewritten.
    """
    if info.path is None:
        raise ModelError(f"{info.name} has no file")
    data = read_bytes(info.path)
    if info.format == "pb":
        return _rewritten_once(data, info.channels, info.scale)
    from cvsr.modelfiles.tensorflow import importer

    if "Cast" in info.ops:
        from cvsr.modelfiles import float16

        data = float16.expanded(data)
    return importer.Rewritten(data, subpixel=False, tanh=False, ops=info.ops)


@functools.lru_cache(maxsize=4)  # scripts create an object for each image
def _rewritten_once(data: bytes, channels: int, scale: int) -> importer.Rewritten:
    from cvsr.modelfiles.tensorflow import importer

    return importer.rewrite(data, channels, scale)


@contextlib.contextmanager
def file_of(data: bytes, suffix: str) -> Generator[str]:
    """Write the bytes to a temporary file; yield its name, and remove it at the end."""
    handle, name = tempfile.mkstemp(suffix=suffix, prefix="cvsr-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        yield name
    finally:
        os.unlink(name)  # noqa: PTH108 - matches mkstemp
