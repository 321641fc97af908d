"""Build an ONNX graph from images, whose activations and pixel shuffles are pending until a node needs them.

An activation is tracked as two slopes per channel, so that it becomes one node however it is written; a pixel shuffle
is postponed, because elementwise operations can be applied to the planes before it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvsr.modelfiles import subpixel
from cvsr.modelfiles.onnx_writer import SIDE, Attribute, Graph, Shape

Numbers = NDArray[np.float64]  # one number, or one per channel of an image

_ONE = np.float64(1) * np.ones(())
_LARGEST = 64  # the largest zoom


class Unsupported(Exception):
    """The importer does not support a node; the message says why."""


@dataclass(frozen=True, eq=False)
class Value:
    """An image of ``channels``: ``tensor`` with a pending activation and pixel shuffle.

    The activation is ``up`` * x for positive x and ``down`` * x for negative x. ``tensor`` has ``zoom`` times the
    input's size, and ``block``² planes per channel, in the order (channel, row, column). ``planar``: its layout in
    TensorFlow is NCHW. ``owned``: nothing else reads it, so that the node that computes it may be changed.
    """

    tensor: str
    channels: int
    zoom: int = 1
    block: int = 1
    up: Numbers = _ONE
    down: Numbers = _ONE
    planar: bool = False
    owned: bool = False

    def shape(self) -> Shape:
        """Return the shape of ``tensor`` for an input of the size in the file."""
        return 1, self.channels * self.block**2, SIDE * self.zoom, SIDE * self.zoom

    def sloped(self, up: Numbers, down: Numbers) -> Value:
        """Return the image with other slopes."""
        return replace(self, up=_checked(up), down=_checked(down))

    def planes(self, numbers: Numbers) -> Numbers:
        """Return a number for each plane of ``tensor``."""
        return np.repeat(np.broadcast_to(numbers, self.channels), self.block**2)


def _checked(numbers: Numbers) -> Numbers:
    if not (np.abs(numbers) <= np.finfo(np.float32).max).all():
        raise Unsupported("results in numbers that are too large for float32")
    return numbers


class GraphBuilder:
    """Builds the ONNX graph. Methods take images and return images; they raise Unsupported."""

    def __init__(self) -> None:
        self.graph = Graph()
        self._convs: dict[str, tuple[str, str]] = {}  # the names of weights and bias, by output
        self._done: dict[tuple[object, ...], str] = {}

    def conv(self, x: Value, kernel: NDArray[Any], pads: list[int], dilations: list[int], block: int = 1) -> Value:
        """Convolve with a kernel (O, I, h, w), stride 1; a shuffle by ``block`` is pending."""
        x = self.shuffled(x)
        if kernel.shape[1] != x.channels:
            raise Unsupported(f"has weights for {kernel.shape[1]} channels but reads {x.channels}")
        names = self.graph.constant(kernel), self.graph.constant(np.zeros(len(kernel), np.float32))
        spatial = {"kernel_shape": list(kernel.shape[2:]), "pads": pads, "dilations": dilations, "strides": [1, 1]}
        tensor = self.graph.add("Conv", [x.tensor, *names], **spatial)
        self._convs[tensor] = names
        return Value(tensor, len(kernel) // block**2, _zoom(x.zoom, 1), block, owned=True)

    def plus(self, x: Value, numbers: Numbers) -> Value:
        """Add one number, or one for each channel."""
        x = self.active(x)
        spread = x.planes(numbers)
        if x.owned and x.tensor in self._convs:
            self._change(x.tensor, np.ones(len(spread)), spread)
            return x
        constant = self.graph.constant(_float32(spread.reshape(1, -1, 1, 1)))
        return replace(x, tensor=self.graph.add("Add", [x.tensor, constant]))

    def joined(self, a: Value, b: Value, sign: int) -> Value:
        """Add two images, or subtract the second from the first."""
        if _same(a, b):
            return a.sloped(a.up + sign * b.up, a.down + sign * b.down)
        if (a.zoom, a.block) != (b.zoom, b.block):
            a, b = self.shuffled(a), self.shuffled(b)
        if (a.channels, a.zoom, a.planar) != (b.channels, b.zoom, b.planar):
            raise Unsupported("joins images of different shapes")
        a, b = self.active(a), self.active(b)
        return replace(a, tensor=self.graph.add("Add" if sign > 0 else "Sub", [a.tensor, b.tensor]), owned=False)

    def extreme(self, a: Value, b: Value, larger: bool) -> Value:
        """Take the larger or the smaller of two images that differ only in their slopes."""
        if not _same(a, b):
            raise Unsupported("compares two different images")
        # for negative x, the larger factor gives the smaller number
        first, second = (np.maximum, np.minimum) if larger else (np.minimum, np.maximum)
        return a.sloped(first(a.up, b.up), second(a.down, b.down))

    def pointwise(self, op: str, x: Value) -> Value:
        """Apply an elementwise operation."""
        x = self.active(x)
        tensor = x.tensor
        if tensor in self._convs:  # OpenCV 5.0 would fuse it into the convolution, which takes up to twice as long
            tensor = self.graph.add("Reshape", [tensor, self.graph.constant(np.array([0, 0, 0, -1], np.int64))])
        return replace(x, tensor=self.graph.add(op, [tensor]))

    def before(self, op: str, tensor: str) -> str:
        """Remove the last node if it is an ``op`` that computes ``tensor``; return its input, else ""."""
        nodes = self.graph.nodes
        if (nodes[-1].op, nodes[-1].output) != (op, tensor):
            return ""
        read = nodes.pop().inputs[0]
        # the Reshape that prevents fusion is not needed either
        return nodes.pop().inputs[0] if nodes[-1].op == "Reshape" else read

    def shuffle(self, x: Value, s: int) -> Value:
        """Shuffle planes in TensorFlow's order (row, column, channel)."""
        x = self.shuffled(x)
        channels, rest = divmod(x.channels, s * s)
        if rest:
            raise Unsupported(f"shuffles {x.channels} planes by {s}, which needs a multiple of {s * s}")
        order = np.arange(x.channels).reshape(s * s, channels).T.ravel()
        if channels > 1 and x.owned and x.tensor in self._convs:
            for name in self._convs[x.tensor]:
                self.graph.constants[name] = self.graph.constants[name][order]
        elif channels > 1:
            tensor = self._steps(x.tensor, subpixel.by_pixels(channels, s))
            return replace(x, tensor=tensor, channels=channels, zoom=_zoom(x.zoom, s))
        _zoom(x.zoom, s)
        return replace(x, channels=channels, block=s)

    def active(self, x: Value) -> Value:
        """Apply the pending activation."""
        key = (x.tensor, x.block, x.up.tobytes(), x.down.tobytes())
        if key not in self._done:
            factor, slope = _factored(*np.broadcast_arrays(x.up, x.down))
            self._done[key] = self._activated(x, self._scaled(x, factor), slope)
        return replace(x, tensor=self._done[key], up=_ONE, down=_ONE)

    def shuffled(self, x: Value) -> Value:
        """Apply the pending activation and shuffle."""
        x = self.active(x)
        if x.block == 1:
            return x
        key = (x.tensor, x.block)
        if key not in self._done:
            self._done[key] = self._steps(x.tensor, subpixel.by_channels(x.channels, x.block))
        return replace(x, tensor=self._done[key], zoom=_zoom(x.zoom, x.block), block=1)

    def _scaled(self, x: Value, factor: Numbers) -> str:
        spread = x.planes(factor)
        if (factor == 1).all():
            return x.tensor
        if x.owned and x.tensor in self._convs:
            self._change(x.tensor, spread, np.zeros(len(spread)))
            return x.tensor
        return self.graph.add("Mul", [x.tensor, self.graph.constant(_float32(spread.reshape(1, -1, 1, 1)))])

    def _activated(self, x: Value, tensor: str, slope: Numbers) -> str:
        slopes = _float32(x.planes(slope))
        if (slopes != slopes[0]).any():
            return self.graph.add("PRelu", [tensor, self.graph.constant(slopes.reshape(-1, 1, 1))])
        if slopes[0] == 1:
            return tensor
        attributes: dict[str, Attribute] = {"alpha": float(slopes[0])} if slopes[0] else {}
        return self.graph.add("LeakyRelu" if slopes[0] else "Relu", [tensor], **attributes)

    def _change(self, conv: str, factor: Numbers, more: Numbers) -> None:
        """Multiply the output of a convolution, and add to it."""
        weight, bias = self._convs[conv]
        constants = self.graph.constants
        constants[weight] = _float32(constants[weight] * factor.reshape(-1, 1, 1, 1))
        constants[bias] = _float32(constants[bias] * factor + more)

    def _steps(self, tensor: str, steps: subpixel.Steps) -> str:
        for number, axes in enumerate(steps):
            if number % 2:
                tensor = self.graph.add("Transpose", [tensor], perm=list(axes))
            else:
                tensor = self.graph.add("Reshape", [tensor, self.graph.constant(np.array(axes, np.int64))])
        return tensor


def _same(a: Value, b: Value) -> bool:
    """Return whether two images are the same except for their slopes."""
    return (a.tensor, a.block, a.planar) == (b.tensor, b.block, b.planar)


def _zoom(zoom: int, factor: int) -> int:
    if zoom * factor > _LARGEST:
        raise Unsupported(f"enlarges to more than {_LARGEST} times the size")
    return zoom * factor


def _factored(up: Numbers, down: Numbers) -> tuple[Numbers, Numbers]:
    """Return (factor, slope) of the same activation: ``factor`` * x, whose negative values ``slope`` multiplies."""
    if np.array_equal(up, down):
        return up, _ONE
    if (up > 0).all():
        return up, down / up
    if (down < 0).all():
        return down, up / down
    raise Unsupported("needs an activation that is neither a PReLU nor a multiple of one")


def _float32(numbers: NDArray[Any]) -> NDArray[np.float32]:
    return _checked(numbers).astype(np.float32)
