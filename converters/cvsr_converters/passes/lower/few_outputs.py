"""Split a large convolution with few outputs into a vertical and a horizontal one.

    x ── Conv 5x5 (C → 4) ── y      →      x ── Conv 5x1 (C → 20) ── Conv 1x5 (20 → 4) ── y

The first computes one plane per output and column of the kernel; the second shifts and adds these planes. OpenCV copies
the inputs of a convolution, C·25 numbers per pixel, which pays off only if many outputs use them. After the split, it
copies C·5 + 20: FSRCNN's last layer takes 0.5 to 0.6 of the time, SRCNN's a third, and a 9x9 one for RGB a third
(OpenCV 4.8 to 5.0). With 3x3 kernels, or from about 12 outputs on, it is slower.
"""

import numpy as np

LEAST = 5  # rows and columns
MOST = 8  # outputs
INPUTS = 8  # at least


def run(graph):
    for node in [n for n in graph.nodes if n.op == "Conv"]:
        weight = graph.array(node, 1)
        if weight is None or not _fits(node, weight.shape):
            continue
        outputs, channels, rows, columns = weight.shape
        top, left, bottom, right = node.attrs.get("pads", [0, 0, 0, 0])
        like = node.outputs[0]
        first = weight.transpose(0, 3, 1, 2).reshape(outputs * columns, channels, rows, 1)
        second = np.zeros((outputs, outputs, columns, columns), weight.dtype)
        second[np.arange(outputs), np.arange(outputs)] = np.eye(columns)
        second = second.reshape(outputs, outputs * columns, 1, columns)
        inputs = [node.inputs[0], graph.constant(first, like)]
        attrs = {"kernel_shape": [rows, 1], "pads": [top, 0, bottom, 0]}
        planes = graph.add(node, "Conv", inputs, attrs)
        inputs = [planes, graph.constant(second, like), *node.inputs[2:]]
        graph.become(node, "Conv", inputs, {"kernel_shape": [1, columns], "pads": [0, left, 0, right]})


def _fits(node, shape):
    plain = all(n == 1 for name in ("strides", "dilations") for n in node.attrs.get(name, []))
    plain = plain and node.attrs.get("group", 1) == 1 and node.attrs.get("auto_pad", "NOTSET") == "NOTSET"
    return plain and len(shape) == 4 and min(shape[2:]) >= LEAST and shape[0] <= MOST and shape[1] >= INPUTS
