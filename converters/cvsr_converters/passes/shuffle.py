"""Write DepthToSpace as a ConvTranspose whose kernels hold a single 1.

    Conv ── DepthToSpace s      →      Conv (channels reordered) ── ConvTranspose (one-hot, stride s, C groups)

The same numbers bit for bit. OpenCV up to 4.10 cannot change the size of the input of a DepthToSpace, and from 4.11 on
the mere use of dnn_superres in the process replaces that layer with one that guesses the block size.

TensorFlow (mode DCR) keeps the s² planes of one output channel C apart, which groups need side by side (CRD). The
convolution before it can put them so; where there is none, a dense ConvTranspose does it and multiplies more zeros.
"""

from __future__ import annotations

import numpy as np


def run(graph):
    """Apply the rewrite wherever it fits; return whether the graph has changed."""
    nodes = [n for n in graph.nodes if n.op == "DepthToSpace"]
    shapes = graph.shapes() if nodes else {}
    changed = False
    for node in nodes:
        s, shape = node.attrs["blocksize"], shapes.get(node.inputs[0], ())
        if len(shape) != 4 or not shape[1]:
            continue
        channels, mode = shape[1] // s**2, node.attrs.get("mode", "DCR")
        if channels == 1 or (mode == "DCR" and _reorder(node, channels, s, graph)):
            mode = "CRD"
        groups = channels if mode == "CRD" else 1
        kernel = grouped(channels, s) if mode == "CRD" else dense(channels, s)
        node.op, node.inputs = "ConvTranspose", [node.inputs[0], graph.constant(kernel, node.outputs[0])]
        node.attrs = {"kernel_shape": [s, s], "strides": [s, s], "group": groups}
        graph.touch()
        changed = True
    return changed


def grouped(channels, s):
    """Return the kernel that shuffles input channels in the order (channel, row, column), one group per channel."""
    return np.tile(np.eye(s * s, dtype=np.float32).reshape(s * s, 1, s, s), (channels, 1, 1, 1))


def dense(channels, s):
    """Return the kernel that shuffles input channels in the order (row, column, channel)."""
    kernel = np.zeros((s, s, channels, channels, s, s), np.float32)
    for row in range(s):
        for column in range(s):
            kernel[row, column, :, :, row, column] = np.eye(channels)
    return kernel.reshape(s * s * channels, channels, s, s)


def _reorder(node, channels, s, graph):
    """Let the convolution before ``node`` put out (channel, row, column); return whether there is one that can."""
    value = node.inputs[0]
    conv = graph.producer(value, "Conv")
    if conv is None or conv.attrs.get("group", 1) != 1 or not graph.only_feeds(value, node):
        return False
    if any(name not in graph.constants for name in conv.inputs[1:]):
        return False
    order = np.arange(s * s * channels).reshape(s * s, channels).T.ravel()
    conv.inputs[1:] = [graph.constant(graph.constants[name][order], value) for name in conv.inputs[1:]]
    return True
