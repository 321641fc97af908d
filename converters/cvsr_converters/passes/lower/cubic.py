"""Replace cubic enlargement by a whole number with a depthwise convolution and a pixel shuffle.

    Resize (cubic, s)      →      Pad (edge, 2) ── Conv 5x5 (C groups, C·s² planes) ── DepthToSpace (CRD)

Only the new engine of OpenCV 5 supports cubic Resize. Pixels beyond the border repeat those at the border, as Pad does.
If they must not count (``exclude_outside``), they are zeros, and the result is divided by the same convolution of an
image of ones. TensorFlow does that, and it rounds positions between two pixels to 1/1024, which matters for a scale
of 3.
"""

import math

import numpy as np

from cvsr_converters.passes.simplify.resize import CTM, PLACE


def run(graph):
    nodes = [n for n in graph.nodes if n.op == "Resize" and n.attrs.get("mode") == "cubic" and len(n.inputs) == 3]
    shapes = graph.shapes() if nodes else {}
    for node in nodes:
        shape, scales = shapes.get(node.inputs[0], ()), graph.array(node, 2)
        place = PLACE.get(node.attrs.get(CTM, "half_pixel"))
        if len(shape) != 4 or not shape[1] or scales is None or place is None or node.attrs.get("antialias", 0):
            continue
        s = int(scales[-1])
        if scales.tolist() != [1, 1, s, s] or s < 2:
            continue
        steps = 1024 if node.attrs.get("exclude_outside", 0) else None
        a = node.attrs.get("cubic_coeff_a", -0.75)
        planes = np.array([_taps(p, s, place, a, steps) for p in range(s)])
        kernel = np.einsum("pi,qj->pqij", planes, planes).reshape(s * s, 1, 5, 5).astype(np.float32)
        _write(node, shape[1], s, kernel, graph)


def _taps(phase, s, place, a, steps):
    """Return the weights of the pixels -2 .. 2 around the one in which the phase lies."""
    center = place(s * 8 + phase, s) - 8  # a few pixels inside, because positions at the border may differ
    first = math.floor(center)
    center = first + round((center - first) * steps) / steps if steps else center
    taps = np.zeros(5)
    for i in range(first - 1, first + 3):
        d = abs(center - i)
        near, far = (a + 2) * d**3 - (a + 3) * d**2 + 1, a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
        if weight := near if d <= 1 else far if d < 2 else 0:
            taps[i + 2] += weight
    return taps


def _write(node, channels, s, kernel, graph):
    like, x = node.outputs[0], node.inputs[0]
    weight = graph.constant(np.tile(kernel, (channels, 1, 1, 1)), like)
    attrs = {"kernel_shape": [5, 5], "group": channels}
    shuffle = {"blocksize": s, "mode": "CRD"}
    if not node.attrs.get("exclude_outside", 0):
        pads = graph.constant(np.array([0, 0, 2, 2, 0, 0, 2, 2]), like)
        planes = graph.add(node, "Conv", [graph.add(node, "Pad", [x, pads], {"mode": "edge"}), weight], attrs)
        graph.become(node, "DepthToSpace", [planes], shuffle)
        return
    padded = {"kernel_shape": [5, 5], "pads": [2, 2, 2, 2]}
    result = graph.add(node, "Conv", [x, weight], attrs | padded)
    zero, one = (graph.constant(np.float32(v), like) for v in (0, 1))
    nothing = graph.constant(np.zeros((1, channels, 1, 1), np.float32), like)
    ones = graph.add(node, "Add", [graph.add(node, "Mul", [graph.add(node, "Conv", [x, nothing]), zero]), one])
    share = graph.add(node, "Conv", [ones, graph.constant(kernel, like)], padded)
    result, share = (graph.add(node, "DepthToSpace", [value], shuffle) for value in (result, share))
    graph.become(node, "Div", [result, share])
