"""Replace a dense layer on the channels of an image by the equivalent 1x1 convolution.

    x (1,H,W,C) ── MatMul(·, w) ── y                               x ── Transpose ── Conv 1x1 ── Transpose ── y
    x ── Reshape to (H·W,C) ── MatMul(·, w) ── Reshape ── y     →  x ── Transpose ── Conv 1x1 ── Transpose ── y
    x (1,1,H,W) ── Reshape to (H·W,1) ── MatMul ── Reshape ── y    x ── Conv 1x1 ── Transpose ── y

The channels are last; a single channel may be first. ``merge_transposes`` drops Transposes that cancel each other.
"""

from cvsr_converters.passes.graph import FIRST, LAST

NOTHING = [0, 1, 2, 3]


def run(graph):
    nodes = [n for n in graph.nodes if n.op == "MatMul" and graph.array(n, 1) is not None]
    shapes = graph.shapes() if nodes else {}
    for node in nodes:
        weight = graph.array(node, 1)
        found = _image(node, weight, shapes, graph) if weight.ndim == 2 else None
        if found is not None:
            source, before, last, after = found
            turned = graph.add(node, "Transpose", [source], {"perm": before})
            kernel = graph.constant(weight.T[:, :, None, None], node.outputs[0])
            conv = graph.add(node, "Conv", [turned, kernel], {"kernel_shape": [1, 1]})
            graph.become(last, "Transpose", [conv], {"perm": after})


def _image(node, weight, shapes, graph):
    """Return (image, permutation to channels first, last node, permutation back) of a multiplication, or None.

    ``node`` multiplies the image; the last node is the one whose result is an image again.
    """
    shape = shapes.get(node.inputs[0], ())
    if len(shape) == 4:
        return node.inputs[0], LAST, node, FIRST
    before, readers = graph.producer(node.inputs[0], "Reshape"), graph.consumers(node.outputs[0])
    if len(shape) != 2 or before is None or len(readers) != 1 or readers[0].op != "Reshape":
        return None
    image, result = (shapes.get(v, ()) for v in (before.inputs[0], readers[0].outputs[0]))
    if node.outputs[0] in graph.outputs or len(image) != 4 or len(result) != 4 or 0 in image:
        return None
    pixels, is_last = _pixels(image, weight.shape[0])
    pixels_after, is_last_after = _pixels(result, weight.shape[1])
    if pixels is None or pixels != pixels_after or weight.shape[0] != shape[1]:
        return None
    return before.inputs[0], LAST if is_last else NOTHING, readers[0], FIRST if is_last_after else NOTHING


def _pixels(shape, channels):
    """Return ((images, rows, columns) of a value with ``channels`` channels, whether these are last)."""
    if shape[3] == channels:
        return shape[:3], True
    return ((shape[0], *shape[2:]), False) if shape[1] == channels == 1 else (None, False)
