"""Replace limits of any form by one Clip, or by a Relu if that is equivalent.

    x ── Min(·, 1) ── Max(·, 0) ── y            x ── Clip 0..1 ── y
    x ── Relu ── Min(·, 6) ── y           →     x ── Clip 0..6 ── y
    x ── Max(·, 0) ── y                         x ── Relu ── y

Both limits are always written, because some ONNX readers do not support omitted optional inputs.
"""

import numpy as np

LARGEST = float(np.finfo(np.float32).max)


def run(graph):
    for node in list(graph.nodes):
        found = _limits(node, graph)
        if found is None:
            continue
        source, low, high = found
        inner = graph.producer(source)
        if inner is not None and graph.only_feeds(source, node) and (nested := _limits(inner, graph)):
            source = nested[0]
            low, high = (float(np.clip(limit, low, high)) for limit in nested[1:])
        if _is_canonical(node, source, low, high):
            continue
        _write(node, source, low, high, graph)


def _limits(node, graph):
    """Return (source, low, high) if ``node`` only limits a value by two numbers, else None."""
    if node.op == "Relu":
        return node.inputs[0], 0.0, LARGEST
    if node.op == "Clip":
        low, high = [*node.inputs[1:], "", ""][:2]
        if any(name and name not in graph.constants for name in (low, high)):
            return None  # a limit that is computed
        low = float(graph.constants[low]) if low else -LARGEST
        return node.inputs[0], low, float(graph.constants[high]) if high else LARGEST
    if node.op in ("Min", "Max") and len(node.inputs) == 2:
        for source, limit in (node.inputs, node.inputs[::-1]):
            number = graph.constants.get(limit)
            # a limit of more than four axes would add axes to the value
            if number is not None and number.size == 1 and number.ndim <= 4 and source not in graph.constants:
                value = float(number.ravel()[0])
                return (source, -LARGEST, value) if node.op == "Min" else (source, value, LARGEST)
    return None


def _is_canonical(node, source, low, high):
    if (low, high) == (0.0, LARGEST):
        return node.op == "Relu" and node.inputs == [source]
    return node.op == "Clip" and len(node.inputs) == 3 and all(node.inputs) and node.inputs[0] == source


def _write(node, source, low, high, graph):
    if (low, high) == (0.0, LARGEST):
        graph.become(node, "Relu", [source])
    else:
        limits = [graph.constant(np.float32(limit), node.outputs[0]) for limit in (low, high)]
        graph.become(node, "Clip", [source, *limits])
