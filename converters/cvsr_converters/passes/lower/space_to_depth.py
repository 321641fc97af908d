"""Replace SpaceToDepth by a strided convolution with one-hot kernels.

    SpaceToDepth s      →      Conv s x s (one-hot, stride s)

The same numbers bit for bit. OpenCV up to 4.8 cannot change the input size of SpaceToDepth.
"""

import numpy as np


def run(graph):
    nodes, shapes = graph.select("SpaceToDepth")
    for node in nodes:
        s, shape = node.attrs["blocksize"], shapes.get(node.inputs[0], ())
        if len(shape) == 4 and shape[1]:
            kernel = graph.constant(one_hot(shape[1], s), node.outputs[0])
            graph.become(node, "Conv", [node.inputs[0], kernel], {"kernel_shape": [s, s], "strides": [s, s]})


def one_hot(channels, s):
    """Return the kernel that outputs the pixels of each s x s block in the order (row, column, channel)."""
    kernel = np.zeros((s, s, channels, channels, s, s), np.float32)
    for row in range(s):
        for column in range(s):
            kernel[row, column, :, :, row, column] = np.eye(channels)
    return kernel.reshape(s * s * channels, channels, s, s)
