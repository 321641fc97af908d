"""Remove a Slice that keeps its whole input.

    x (1,3,96,128) ── Slice 0:96 of rows, 0:128 of columns ── y      →      x ── y

Networks that pad the image to a multiple also crop the result if nothing was padded. The end must equal the length: a
larger end may crop a larger image.
"""


def run(graph):
    nodes, shapes = graph.select("Slice")
    for node in nodes:
        if _keeps_all(node, shapes.get(node.inputs[0]), graph):
            graph.bypass(node)


def _keeps_all(node, shape, graph):
    starts, ends, axes, steps = (graph.array(node, place) for place in (1, 2, 3, 4))
    if shape is None or starts is None or ends is None or (steps is not None and (steps != 1).any()):
        return False
    if any(len(node.inputs) > place and node.inputs[place] not in ("", *graph.constants) for place in (3, 4)):
        return False
    axes = range(len(starts)) if axes is None else axes
    return all(
        start == 0 and shape[axis] and end == shape[axis] for start, end, axis in zip(starts, ends, axes, strict=True)
    )
