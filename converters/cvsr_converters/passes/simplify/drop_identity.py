"""Remove nodes that do nothing at inference.

    x ── Identity ── y ── Conv                  x ── Conv
    x ── Dropout  ── y ── Conv           →      x ── Conv
    x ── Pad (by 0) ── y ── Conv                x ── Conv
    x ── Cast (to its own type) ── Conv         x ── Conv
    x ── Unsqueeze ── Squeeze ── Conv           x ── Conv

A Dropout stays if its mask is read or it is in training mode.
"""

SHAPING = {"Reshape", "Squeeze", "Unsqueeze", "Flatten"}


def run(graph):
    for node in list(graph.nodes):
        rule = RULES.get(node.op)
        if rule is not None and rule(node, graph):
            graph.bypass(node)
    _casts(graph)
    _undone(graph)


def _dropout(node, graph):
    """Return whether a Dropout is not in training mode and its mask is not read."""
    training = node.inputs[2] if len(node.inputs) > 2 else ""
    if training and not (training in graph.constants and not graph.constants[training].any()):
        return False
    return not any(graph.consumers(mask) or mask in graph.outputs for mask in node.outputs[1:])


def _pad(node, graph):
    pads = graph.array(node, 1)
    return pads is not None and not pads.any()


def _slice(node, graph):
    """Return whether a Slice starts at 0 and ends beyond every image."""
    starts, ends, steps = (graph.array(node, place) for place in (1, 2, 4))
    if starts is None or ends is None or (steps is None and len(node.inputs) > 4 and node.inputs[4]):
        return False
    return not starts.any() and (ends >= 2**31 - 1).all() and (steps is None or (steps == 1).all())


def _casts(graph):
    """Drop casts to the type that the value already has."""
    nodes = [n for n in graph.nodes if n.op == "Cast"]
    kinds = graph.kinds() if nodes else {}
    for node in [n for n in nodes if kinds.get(n.inputs[0]) == n.attrs["to"]]:
        graph.bypass(node)


def _undone(graph):
    """Drop chains of reshapes that end in the shape they began with."""
    nodes, shapes = graph.select(*SHAPING)
    for node in nodes:
        above = graph.producer(node.inputs[0])
        while above is not None and above.op in SHAPING:
            shape = shapes.get(above.inputs[0], (0,))
            if 0 not in shape and shape == shapes.get(node.outputs[0]):
                node.inputs = above.inputs[:1]
                graph.note(node)
                graph.bypass(node)
                break
            above = graph.producer(above.inputs[0])


RULES = {
    "Identity": lambda node, graph: True,
    "Dropout": _dropout,
    "Concat": lambda node, graph: len(node.inputs) == 1,
    "Sum": lambda node, graph: len(node.inputs) == 1,
    "Pad": _pad,
    "Slice": _slice,
}
