"""Write DepthToSpace as a ConvTranspose whose kernels hold a single 1.

    DepthToSpace (CRD, s)      →      ConvTranspose (one-hot, stride s, C groups)

The same numbers bit for bit. OpenCV up to 4.10 cannot change the size of the input of a DepthToSpace, and from 4.11 on
the mere use of dnn_superres in the process replaces that layer with one that guesses the block size.

The s² planes of one output channel, which a group needs side by side, are so in mode CRD. In mode DCR, which
``depth_to_space`` leaves where there is no convolution to reorder, a dense ConvTranspose multiplies more zeros.
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
        channels, grouping = shape[1] // s**2, node.attrs.get("mode", "DCR") == "CRD"
        kernel = grouped(channels, s) if grouping else dense(channels, s)
        attrs = {"kernel_shape": [s, s], "strides": [s, s], "group": channels if grouping else 1}
        graph.become(node, "ConvTranspose", [node.inputs[0], graph.constant(kernel, node.outputs[0])], attrs)
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
