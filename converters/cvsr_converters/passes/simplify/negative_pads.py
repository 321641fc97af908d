"""Write what tf2onnx makes of a transposed convolution smaller than its stride as ONNX has it.

    ConvTranspose (2x2, stride 3, pads 0,0,-1,-1)      →      ConvTranspose (2x2, stride 3, output_padding 1,1)
    ConvTranspose (2x2, stride 4, pads -1,-1,-1,-1)    →      ConvTranspose (2x2, stride 4, output_padding 2,2)

ONNX has no negative padding there, and shape inference ends at it. TensorFlow puts all that is missing at the end, and
tf2onnx half of it at the beginning, which would move the image by a pixel.
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
