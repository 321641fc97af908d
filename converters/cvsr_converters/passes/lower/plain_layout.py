"""Take a value through two Transposes that undo each other, where the new engine of OpenCV 5 needs its plain layout.

    a (C channels) ──────┐             a ──────────────────────────────────────────────┐
                         Mul ── y  →                                                   Mul ── y
    m (1 channel) ───────┘             m ── Transpose 0,2,3,1 ── Transpose 0,3,1,2 ────┘

Behind a convolution that engine keeps channels in blocks, filled up with zeros. It then fails, or gives wrong numbers,
where one channel meets several; and what divides by the zeros that fill a block spoils the next convolution.
"""

MEETING = {"Add", "Div", "Max", "Min", "Mul", "Pow", "Sub", "Sum", "Where"}
BLOCK = 16  # the largest block of channels


def run(graph):
    nodes = [n for n in graph.nodes if n.op in MEETING or n.op in ("Log", "Reciprocal")]
    shapes = dict(graph.shapes()) if nodes else {}
    for node in nodes:
        for place, value in enumerate(node.inputs):
            if value not in graph.constants and _blocked(node, place, shapes, graph):
                first = graph.add(node, "Transpose", [value], {"perm": [0, 2, 3, 1]})
                node.inputs[place] = graph.add(node, "Transpose", [first], {"perm": [0, 3, 1, 2]})
                graph.note(node)


def _blocked(node, place, shapes, graph):
    """Return whether input ``place`` must not be in blocks of channels."""
    value = node.inputs[place]
    above = graph.producer(value)
    shape = shapes.get(value, ())
    if above is None or above.op == "Transpose" or len(shape) != 4 or shape[2:] == (1, 1):
        return False
    channels = max(s[1] for s in (shapes.get(v, ()) for v in node.inputs) if len(s) == 4)
    if shape[1] == 1 and node.op in MEETING:
        return channels > 1
    divides = node.op in ("Log", "Reciprocal") or (node.op == "Div" and place == 1)
    return divides and shape[1] % BLOCK != 0 and shape[1] > 1
