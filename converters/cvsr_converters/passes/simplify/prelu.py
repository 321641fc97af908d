"""Replace a PReLU, however it is written, by one node.

         ┌── Relu ───────────────────────────┐
    x ───┤                                   Add ── y      →      x ── PRelu (slope -k) ── y
         └── Neg ── Relu ── Mul(·, k) ───────┘
    Max(x, x · k), Where(x > 0, x, x · k), x · (1 + k) / 2 + |x| · (1 - k) / 2 …      →      x ── PRelu (slope k) ── y
    Relu(x) - Relu(-x)                                                                →      x

Each of these is linear on both sides of zero: it is ``up * x`` for positive x and ``down * x`` for
negative x. These two, one number or one per channel, are tracked through the graph. With ``up`` = 1, it is a PRelu, a
LeakyRelu (one slope for all channels), a Relu (slope 0) or x itself (slope 1).
"""

import numpy as np

from cvsr_converters.passes.graph import per_channel

DEPTH = 6  # nodes between x and the result
JOINING = ("Add", "Sub", "Max", "Min", "Where")


def run(graph):
    nodes = [n for n in graph.nodes if n.op in JOINING and len(n.inputs) in (2, 3)]
    shapes = graph.shapes() if nodes else {}
    for node in nodes:
        any(_rewrite(node, x, shapes, graph) for x in _candidates(node, graph))


def _rewrite(node, x, shapes, graph):
    found = _sides(node.outputs[0], x, graph, DEPTH)
    if found is None or not np.allclose(found[0], 1, rtol=0, atol=1e-6):
        return False
    slope = np.asarray(found[1], np.float32).ravel()
    if slope.size > 1 and (slope == slope[0]).all():
        slope = slope[:1]
    if slope.size > 1 and shapes.get(x, ())[1:2] != (slope.size,):
        return False  # the slopes would broadcast one channel to several
    if slope.size > 1:
        graph.become(node, "PRelu", [x, graph.constant(slope.reshape(-1, 1, 1), node.outputs[0])])
    elif slope[0] == 0:
        graph.become(node, "Relu", [x])
    elif abs(slope[0] - 1) <= 1e-6:
        graph.become(node, "Identity", [x])
    else:
        graph.become(node, "LeakyRelu", [x], {"alpha": float(slope[0])})
    return True


def _candidates(node, graph):
    """Return the values that may be x, the nearest first."""
    found, nearest = [], [node]
    for _ in range(DEPTH):
        values = [v for n in nearest for v in n.inputs if v and v not in graph.constants]
        found += [v for v in dict.fromkeys(values) if v not in found]
        above = [graph.producer(v) for v in values]
        nearest = [n for n in dict.fromkeys(above) if n is not None and n.op in RULES]
    return found


def _sides(value, x, graph, depth):
    """Return (up, down) if ``value`` is up * x for positive and down * x for negative x, else None."""
    if value == x:
        return np.float64(1), np.float64(1)
    node = graph.producer(value)
    if node is None or node.op not in RULES or depth == 0:
        return None
    return RULES[node.op](node, x, graph, depth - 1)


def _constant(value, graph):
    """Return a constant as one number or one per channel, or None."""
    numbers = per_channel(graph.constants.get(value))
    return None if numbers is None else numbers.astype(float)


def _zero(value, graph):
    numbers = graph.constants.get(value)
    return numbers is not None and numbers.ndim <= 4 and numbers.size == 1 and not numbers.any()


def _both(values, x, graph, depth):
    """Return the sides of two values, or None if one of them has none; a constant zero has sides, too."""
    sides = [(0.0, 0.0) if _zero(v, graph) else _sides(v, x, graph, depth) for v in values]
    return None if any(s is None for s in sides) else sides


def _joined(sign):
    def rule(node, x, graph, depth):
        sides = _both(node.inputs, x, graph, depth)
        return None if sides is None else tuple(a + sign * b for a, b in zip(*sides, strict=True))

    return rule


def _extreme(positive, negative):
    def rule(node, x, graph, depth):
        sides = _both(node.inputs, x, graph, depth) if len(node.inputs) == 2 else None
        if sides is None:
            return None
        (up, down), (other_up, other_down) = sides
        return positive(up, other_up), negative(down, other_down)

    return rule


def _mul(node, x, graph, depth):
    for value, factor in (node.inputs, node.inputs[::-1]):
        numbers = _constant(factor, graph)
        if numbers is not None and (sides := _sides(value, x, graph, depth)):
            return sides[0] * numbers, sides[1] * numbers
    return None


def _div(node, x, graph, depth):
    numbers, sides = _constant(node.inputs[1], graph), _sides(node.inputs[0], x, graph, depth)
    if sides is None or numbers is None or not numbers.all():
        return None
    return sides[0] / numbers, sides[1] / numbers


def _where(node, x, graph, depth):
    """Return the sides of Where(x > 0, a, b) and its three variants."""
    test, sides = graph.producer(node.inputs[0]), _both(node.inputs[1:], x, graph, depth)
    if test is None or sides is None or test.op not in ("Greater", "GreaterOrEqual", "Less", "LessOrEqual"):
        return None
    left, right = test.inputs
    if not ((left == x and _zero(right, graph)) or (right == x and _zero(left, graph))):
        return None
    above = test.op.startswith("Greater") == (left == x)
    (up, down), (other_up, other_down) = sides
    return (up, other_down) if above else (other_up, down)


def _unary(positive, negative):
    def rule(node, x, graph, depth):
        sides = _sides(node.inputs[0], x, graph, depth)
        return None if sides is None else (positive(sides[0]), negative(sides[1]))

    return rule


def _leaky(node, x, graph, depth):
    alpha = node.attrs.get("alpha", 0.01) if node.op == "LeakyRelu" else _constant(node.inputs[1], graph)
    sides = _sides(node.inputs[0], x, graph, depth)
    if sides is None or alpha is None:
        return None
    up, down = sides
    return np.where(up > 0, up, up * alpha), np.where(down < 0, down * alpha, down * 1.0)


RULES = {
    "Add": _joined(1),
    "Sub": _joined(-1),
    # for negative x, the larger factor gives the smaller number
    "Max": _extreme(np.maximum, np.minimum),
    "Min": _extreme(np.minimum, np.maximum),
    "Mul": _mul,
    "Div": _div,
    "Where": _where,
    "Neg": _unary(np.negative, np.negative),
    "Abs": _unary(np.abs, lambda down: -np.abs(down)),
    "Relu": _unary(lambda up: np.maximum(up, 0), lambda down: np.minimum(down, 0)),
    "LeakyRelu": _leaky,
    "PRelu": _leaky,
    "Identity": _unary(lambda up: up, lambda down: down),
}
