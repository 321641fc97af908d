"""Make the padding of ConvTranspose symmetric, by adding rows and columns of zeros to its kernel.

    ConvTranspose (3x3, pads 0,0,1,1)      →      ConvTranspose (4x4, first row and column zero, pads 1,1,1,1)

Padding crops the output. A row of zeros at a side of the kernel adds one row of output there, which is cropped again.
OpenCV rejects asymmetric padding; TensorFlow uses it for every odd kernel with an even stride.
"""

import numpy as np


def run(graph):
    for node in [n for n in graph.nodes if n.op == "ConvTranspose"]:
        kernel = graph.constants.get(node.inputs[1])
        if kernel is None or kernel.ndim != 4 or "output_shape" in node.attrs:
            continue
        if node.attrs.get("auto_pad", "NOTSET") != "NOTSET" or any(d != 1 for d in node.attrs.get("dilations", [])):
            continue
        pads = np.array(node.attrs.get("pads", [0, 0, 0, 0])).reshape(2, 2)  # (begin, end) x (rows, columns)
        extra = node.attrs.pop("output_padding", [0, 0])
        pads[1] -= np.array(extra)  # more output at the end is less cropping there
        target = np.maximum(pads.max(axis=0), 0)
        if (pads == target).all() and not any(extra):
            continue
        more = target - pads
        kernel = np.pad(kernel, [(0, 0), (0, 0), *more.T])
        node.inputs[1] = graph.constant(kernel, node.outputs[0])
        node.attrs |= {"kernel_shape": list(kernel.shape[2:]), "pads": [int(p) for p in (*target, *target)]}
        graph.note(node)
