"""Convolutions as plain arrays, for the passes that merge them."""

from dataclasses import dataclass

import numpy as np

from cvsr_converters.passes.graph import per_channel


@dataclass(frozen=True)
class Linear:
    """A convolution of ``source``: weight (Cout, Cin / group, H, W) and bias, in double precision.

    ``pads`` are [top, left, bottom, right]. ``cost``: multiplications per pixel of the result, of all nodes that it
    replaces; ``own``: those of this one convolution.
    """

    source: str
    weight: np.ndarray
    bias: np.ndarray
    pads: tuple = (0, 0, 0, 0)
    strides: tuple = (1, 1)
    dilations: tuple = (1, 1)
    group: int = 1
    cost: int = 0

    @property
    def own(self):
        """Return the number of multiplications per pixel of the result."""
        return self.weight.size

    @property
    def kernel(self):
        """Return (height, width) of the kernel."""
        return self.weight.shape[2:]

    def dense(self):
        """Return the weight without groups, (Cout, Cin, H, W)."""
        outs, ins, *kernel = self.weight.shape
        full = np.zeros((self.group, outs // self.group, self.group, ins, *kernel))
        for g in range(self.group):
            full[g, :, g] = self.weight.reshape(self.group, -1, ins, *kernel)[g]
        return full.reshape(outs, self.group * ins, *kernel)


def of(node, graph):
    """Return the :class:`Linear` of a Conv with constant weights, or None."""
    if node is None or node.op != "Conv" or node.attrs.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return None
    weight, bias = graph.array(node, 1), graph.array(node, 2)
    if weight is None or weight.ndim != 4 or (bias is None and len(node.inputs) > 2 and node.inputs[2]):
        return None
    bias = np.zeros(len(weight)) if bias is None else bias.astype(float)
    pads, strides, dilations = (
        tuple(node.attrs.get(name, default))
        for name, default in (("pads", (0, 0, 0, 0)), ("strides", (1, 1)), ("dilations", (1, 1)))
    )
    if weight.shape[2:] == (1, 1):
        dilations = (1, 1)
    group = node.attrs.get("group", 1)
    return Linear(node.inputs[0], weight.astype(float), bias, pads, strides, dilations, group, weight.size)


def scaled(value, source, channels, graph):
    """Return the :class:`Linear` of ``value`` if it is ``source``, or ``source`` times a constant, or None."""
    factor = np.ones(1)
    if value != source:
        node = graph.producer(value, "Mul")
        if node is None or node.inputs[0] != source:
            return None
        factor = per_channel(graph.array(node, 1))
        if factor is None or factor.size not in (1, channels):
            return None
    weight = np.broadcast_to(factor, channels).reshape(-1, 1, 1, 1).astype(float)
    return Linear(source, weight, np.zeros(channels), group=channels)


def write(linear, node, graph):
    """Turn ``node`` into the convolution that ``linear`` describes."""
    like = node.outputs[0]
    inputs = [linear.source, graph.constant(linear.weight.astype(np.float32), like)]
    if linear.bias.any():
        inputs.append(graph.constant(linear.bias.astype(np.float32), like))
    attrs = {
        "kernel_shape": list(linear.kernel), "pads": list(linear.pads), "strides": list(linear.strides),
        "dilations": list(linear.dilations), "group": linear.group,
    }  # fmt: skip
    graph.become(node, "Conv", inputs, attrs)
