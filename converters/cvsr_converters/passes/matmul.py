"""Write a dense layer on the channels of an image as the 1x1 convolution that it is.

    x (1,H,W,C) ── MatMul(·, w) ── y                            x ── Transpose ── Conv 1x1 ── Transpose ── y
    x ── Reshape to (H·W,C) ── MatMul(·, w) ── Reshape ── y  →  x ── Transpose ── Conv 1x1 ── Transpose ── y

The channels are last there. ``merge_transposes`` drops the Transposes where their pairs are.
"""

from __future__ import annotations


def run(graph):
    """Apply the rewrite wherever it fits; return whether the graph has changed."""
    nodes = [n for n in graph.nodes if n.op == "MatMul" and graph.array(n, 1) is not None]
    shapes = graph.shapes() if nodes else {}
    changed = False
    for node in nodes:
        weight = graph.array(node, 1)
        found = _image(node, shapes, graph) if weight.ndim == 2 else None
        if found is not None:
            source, last = found
            turned = graph.add(node, "Transpose", [source], {"perm": [0, 3, 1, 2]})
            kernel = graph.constant(weight.T[:, :, None, None], node.outputs[0])
            conv = graph.add(node, "Conv", [turned, kernel], {"kernel_shape": [1, 1]})
            graph.become(last, "Transpose", [conv], {"perm": [0, 2, 3, 1]})
            changed = True
    return changed


def _image(node, shapes, graph):
    """Return (the image that ``node`` multiplies, the node whose result is the product as an image), or None."""
    shape = shapes.get(node.inputs[0], ())
    if len(shape) == 4:
        return node.inputs[0], node
    before, readers = graph.producer(node.inputs[0], "Reshape"), graph.consumers(node.outputs[0])
    if len(shape) != 2 or before is None or len(readers) != 1 or readers[0].op != "Reshape":
        return None
    if node.outputs[0] in graph.outputs:
        return None
    image, result = (shapes.get(v, ()) for v in (before.inputs[0], readers[0].outputs[0]))
    if len(image) != 4 or len(result) != 4 or image[:3] != result[:3] or 0 in image or image[3] != shape[1]:
        return None
    return before.inputs[0], readers[0]
