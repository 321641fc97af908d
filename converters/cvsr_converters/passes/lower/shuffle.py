"""Replace a pixel shuffle by Transposes, and Reshapes that do not depend on the size of the image.

    DepthToSpace (s)      →      three times Reshape ── Transpose, as follows

    planes by channels (CRD)                        planes by rows and columns (DCR)
    (1, C s s, H, W)                                (1, s s C, H, W)
        reshape    (C s, s, H, W)                       reshape    (s, s C, H, W)
        transpose  (H, C s, W, s)                       transpose  (H, s, s C, W)
        reshape    (H, C, s, W s)                       reshape    (H s, s, C, W)
        transpose  (C, H, s, W s)                       transpose  (C, H s, W, s)
        reshape    (C, H s, 1, W s)                     reshape    (C, H s, W s, 1)
        transpose  (1, C, H s, W s)                     transpose  (1, C, H s, W s)

The same numbers bit for bit, at any size, in OpenCV 4.6 to 5.0 and both engines of the latter; no other form does this.
A one-hot ConvTranspose takes 1.5 times as long on 4.x, and 7 (new) to 70 (classic) times on 5.0. DepthToSpace takes up
to twice as long, cannot change its size up to 4.10, and is replaced by dnn_superres once that has been used.
"""

import numpy as np

from cvsr.modelfiles.subpixel import by_channels, by_pixels
from cvsr_converters.passes.graph import Node


def run(graph):
    nodes, shapes = graph.select("DepthToSpace")
    for node in nodes:
        if planes := shapes.get(node.inputs[0], (0, 0))[1]:
            s = node.attrs["blocksize"]
            steps = by_channels(planes // s**2, s) if node.attrs.get("mode") == "CRD" else by_pixels(planes // s**2, s)
            place = graph.nodes.index(node)  # in place: shapes are inferred in the order of the nodes
            graph.nodes[place : place + 1] = nodes_of(graph, node.inputs[0], node.outputs[0], steps, node.origin)
            graph.touch()


def nodes_of(graph, source, result, steps, origin=""):
    """Yield the nodes that compute ``result`` (1, C, H * s, W * s) from ``source`` (1, C * s * s, H, W)."""
    for number, axes in enumerate(steps):
        target = result if number == len(steps) - 1 else f"{result}.{number}"
        if number % 2 == 0:
            shape = graph.constant(np.array(axes, np.int64), target)
            yield Node("Reshape", [source, shape], [target], {}, origin)
        else:
            yield Node("Transpose", [source], [target], {"perm": list(axes)}, origin)
        source = target
