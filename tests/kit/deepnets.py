"""Deep networks of 3x3 convolutions, as ONNX files: deep enough to run in segments."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cvsr._cv2 import VERSION
from kit import onnxlite

WIDTH = 6


class DeepNet:
    """A builder of a network of 3x3 convolutions."""

    def __init__(self, channels=1):
        self.random = np.random.default_rng(0)
        self.nodes, self.weights = [], {}
        self.channels, self.here = {"x": channels}, "x"

    def conv(self, outputs=WIDTH, source=None):
        source = source or self.here
        name, fan = f"t{len(self.nodes)}", self.channels[source]
        kernel = self.random.normal(0, (1.6 / (fan * 9)) ** 0.5, (outputs, fan, 3, 3))
        self.weights["w" + name] = kernel.astype(np.float32)
        return self._add("Conv", [source, "w" + name], outputs, kernel_shape=[3, 3], pads=[1] * 4)

    def relu(self):
        return self._add("Relu", [self.here], self.channels[self.here])

    def add(self, other):
        return self._add("Add", [other, self.here], self.channels[other])

    def shuffle(self, mode="CRD"):
        name = self._add("DepthToSpace", [self.here], self.channels[self.here] // 4, blocksize=2)
        text = onnxlite._field(1, "mode") + onnxlite._field(4, mode) + onnxlite._field(20, 3)
        self.nodes[-1] += onnxlite._field(5, text)
        return name

    def _add(self, op, inputs, channels, **attributes):
        name = f"t{len(self.nodes)}"
        self.nodes.append(onnxlite.node(op, inputs, name, **attributes))
        self.channels[name], self.here = channels, name
        return name

    def write(self, path: Path, radius: int, size: int = 64, **facts: object) -> Path:
        source = self.channels["x"]
        facts = {"name": path.stem, "scale": 2, "color": "rgb" if source == 3 else "luma", "range": 1} | facts
        metadata = {f"cvsr.{key}": str(value) for key, value in facts.items()} | {"cvsr.radius": str(radius)}
        outputs = {self.here: (1, self.channels[self.here], size, size)}
        path.write_bytes(onnxlite.model(self.nodes, self.weights, {"x": (1, source, 64, 64)}, outputs, metadata))
        return path


def chain(folder):
    """Luma with a sub-pixel tail; the host adds the image."""
    net = DeepNet()
    for _ in range(18):
        net.conv()
        net.relu()
    net.conv(4)
    return net.write(folder / "chain_x2.onnx", 19, tail="subpixel", skip="nearest")


def residual(folder):
    """Color, like EDSR: residual blocks, a long skip connection, a pixel shuffle, and one more convolution."""
    net = DeepNet(3)
    head = net.conv()
    for _ in range(8):
        block = net.here
        net.conv()
        net.relu()
        net.conv()
        net.add(block)
    net.conv()
    net.add(head)
    net.conv(4 * WIDTH)
    net.shuffle()
    net.conv(3)
    return net.write(folder / "residual_x2.onnx", 20, 128, tail="image")


def enlarged(folder):
    """Luma, like VDSR: it reads the enlarged image and adds a residual to it."""
    net = DeepNet()
    for _ in range(35):
        net.conv()
        net.relu()
    net.conv(1)
    net.add("x")
    return net.write(folder / "enlarged_x2.onnx", 20, tail="image", inputs="bicubic")


BUILT = {"chain": chain, "residual": residual, "enlarged": enlarged}

NAMES = [name for name in BUILT if name != "residual" or VERSION >= (4, 11, 0)]
"""Those that run in segments: OpenCV before 4.11 reads DepthToSpace for one size only."""
