"""Order the planes before a pixel shuffle by channels (CRD), by reordering the convolution that makes them.

    Conv ── DepthToSpace (DCR)      →      Conv (channels reordered) ── DepthToSpace (CRD)

TensorFlow (mode DCR) puts the s² planes of one output channel far apart; PyTorch (CRD) puts them side by side, and so
do the host's own shuffle and grouped convolutions. Elementwise operations in between are not affected. With one
channel, both orders are the same.
"""

import numpy as np

# elementwise, with one input besides constants
UNARY = frozenset({
    "Abs", "Clip", "Elu", "Erf", "Exp", "HardSigmoid", "HardSwish", "LeakyRelu", "Log", "Neg", "Relu", "Selu",
    "Sigmoid", "Softplus", "Softsign", "Sqrt", "Tanh",
})  # fmt: skip


def run(graph):
    nodes = [n for n in graph.nodes if n.op == "DepthToSpace" and n.attrs.get("mode", "DCR") == "DCR"]
    shapes = graph.shapes() if nodes else {}
    for node in nodes:
        planes, s = shapes.get(node.inputs[0], (0, 0))[1], node.attrs["blocksize"]
        if planes == s * s or (planes and _reorder(node, planes // s**2, s, graph)):
            node.attrs["mode"] = "CRD"
            graph.touch()


def _reorder(node, channels, s, graph):
    """Make the convolution before ``node`` output (channel, row, column); return whether that is possible."""
    above, reader, slopes = graph.producer(node.inputs[0]), node, {}
    while above is not None and graph.only_feeds(above.outputs[0], reader):
        if above.op == "PRelu" and (slope := _slope(above, s * s * channels, graph)) is not None:
            slopes[above] = slope
        elif above.op not in UNARY:
            break
        above, reader = graph.producer(above.inputs[0]), above
    if above is None or above.op != "Conv" or not graph.only_feeds(above.outputs[0], reader):
        return False
    if above.attrs.get("group", 1) != 1 or any(name not in graph.constants for name in above.inputs[1:] if name):
        return False
    order = np.arange(s * s * channels).reshape(s * s, channels).T.ravel()
    for place, name in enumerate(above.inputs[1:], 1):
        if name:
            above.inputs[place] = graph.constant(graph.constants[name][order], above.outputs[0])
    for prelu, slope in slopes.items():
        prelu.inputs[1] = graph.constant(slope[order].reshape(-1, 1, 1), prelu.outputs[0])
    return True


def _slope(prelu, planes, graph):
    """Return the slopes of a PRelu, one per channel, or None."""
    slope = graph.constants.get(prelu.inputs[1])
    if slope is None or slope.ndim < 3 or slope.size not in (1, slope.shape[-3]):
        return None
    return np.broadcast_to(slope.ravel(), planes)
