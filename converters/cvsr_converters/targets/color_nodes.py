"""Color conversion around a network: matrices, and the nodes that apply them."""

import numpy as np

from cvsr_converters.passes.graph import Node

# BT.601, full range, as in cv2.cvtColor: rows Y, Cr, Cb, columns B, G, R; the inverse expects chroma around 0
LUMA = np.array([0.114, 0.587, 0.299])
YCRCB = np.array([LUMA, 0.713 * (np.array([0, 0, 1]) - LUMA), 0.564 * (np.array([1, 0, 0]) - LUMA)])
BGR = np.array([[1, 0, 1.773], [1, -0.714, -0.344], [1, 1.403, 0]])
ORDERS = {"ycrcb": [0, 1, 2], "ycbcr": [0, 2, 1], "bgr": [0, 1, 2], "rgb": [2, 1, 0]}


def channels(facts):
    """Return how many channels the network takes."""
    return 1 if facts.color == "luma" else 3


def colors(color):
    """Return (rows, offset, inverse) for a network of three channels and white at 1.

    It reads ``rows @ bgr + offset``; ``inverse @ (channels - offset)`` is BGR again.
    """
    order = ORDERS[color]
    if color in ("rgb", "bgr"):
        return np.eye(3)[order], np.zeros(3), np.eye(3)[order].T
    return YCRCB[order], np.array([0, 0.5, 0.5])[order], BGR[:, order]


class Ops:
    """Adds nodes to a graph: methods take the names of values and return the name of their result."""

    def __init__(self, graph, scale):
        self.graph, self.scale = graph, scale

    def add(self, op, inputs, constants=(), **attrs):
        """Add a node that reads ``inputs`` and then ``constants``, which are arrays."""
        value = f"around.{len(self.graph.nodes)}"
        names = [self.graph.constant(np.asarray(array), value) for array in constants]
        self.graph.nodes.append(Node(op, [*inputs, *names], [value], attrs, "around the network"))
        return value

    def named(self, name, value):
        """Rename the value that was added last; return ``name``."""
        self.graph.nodes[-1].outputs = [name]
        return name

    def mixed(self, value, matrix, bias=None):
        """Mix the channels of each pixel: ``matrix`` has one row per new channel."""
        matrix = np.asarray(matrix, np.float32)[:, :, None, None]
        constants = [matrix] if bias is None else [matrix, np.asarray(bias, np.float32)]
        return self.add("Conv", [value], constants, kernel_shape=[1, 1])

    def limited(self, value, high):
        """Limit to 0..``high``."""
        return self.add("Clip", [value], [np.float32(0), np.float32(high)])

    def plus_nearest(self, planes, fed, count):
        """Add the network's input ``fed`` to the scale² planes of each of ``count`` channels: the skip "nearest"."""
        return self.add("Add", [planes, self.mixed(fed, np.repeat(np.eye(count), self.scale**2, axis=0))])
