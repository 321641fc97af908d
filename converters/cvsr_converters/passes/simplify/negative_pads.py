"""Correct how tf2onnx writes a transposed convolution whose kernel is smaller than its stride.

    ConvTranspose (2x2, stride 3, pads 0,0,-1,-1)      →      ConvTranspose (2x2, stride 3, output_padding 1,1)
    ConvTranspose (2x2, stride 4, pads -1,-1,-1,-1)    →      ConvTranspose (2x2, stride 4, output_padding 2,2)

ONNX does not allow negative padding there, and shape inference stops at it. TensorFlow adds all missing pixels at the
end; tf2onnx adds half of them at the beginning, which would move the image by a pixel.
"""

import numpy as np


def run(graph):
    for node in [n for n in graph.nodes if n.op == "ConvTranspose"]:
        pads = np.array(node.attrs.get("pads", [0, 0, 0, 0])).reshape(2, 2)  # (begin, end) x (rows, columns)
        if (pads >= 0).all() or (pads > 0).any():
            continue
        extra = np.array(node.attrs.get("output_padding", [0, 0])) - pads.sum(axis=0)
        node.attrs |= {"pads": [0, 0, 0, 0], "output_padding": extra.tolist()}
        graph.note(node)
