"""Insert two Transposes that cancel each other if the new engine of OpenCV 5 needs a value in plain layout.

    a (C channels) ──────┐             a ──────────────────────────────────────────────┐
                         Mul ── y  →                                                   Mul ── y
    m (1 channel) ───────┘             m ── Transpose 0,2,3,1 ── Transpose 0,3,1,2 ────┘

After a convolution, that engine keeps channels in blocks padded with zeros. It then fails, or computes wrong numbers,
if one channel is broadcast to several; and a division by the zeros in a block spoils the next convolution.
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
