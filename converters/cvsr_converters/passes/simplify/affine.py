"""Reduce arithmetic with constants to at most one Mul and one Add in a row, each with the constant on the right.

    x ── Sub(·, mean) ── Div(·, deviation) ── y      →      x ── Mul(·, 1 / deviation) ── Add(·, -mean / deviation) ── y
    x ── Sub(1, ·) ── y                              →      x ── Mul(·, -1) ── Add(·, 1) ── y
    x ── Mul(·, 1) ── Add(·, 0) ── y                 →      x ── y

A constant of equal numbers becomes a scalar.
"""

import numpy as np


def run(graph):
    for node in [n for n in graph.nodes if n.op in ("Add", "Sub", "Mul", "Div")]:
        _one_form(node, graph)
    for node in [n for n in graph.nodes if n.op in ("Add", "Mul")]:
        _merge(node, graph)
    _uniform(graph)


def _number(node, graph, place):
    """Return the float32 constant that the node reads at ``place``, or None."""
    array = graph.array(node, place)
    return array if array is not None and array.dtype == np.float32 and np.isfinite(array).all() else None


def _one_form(node, graph):
    """Rewrite Sub as Add and Div as Mul, with the constant on the right."""
    left, right = (_number(node, graph, place) for place in (0, 1))
    if (left is None) == (right is None):
        return
    like = node.outputs[0]
    if right is None:
        if node.op == "Div":
            return
        x = node.inputs[1]
        if node.op == "Sub":
            x = graph.add(node, "Mul", [x, graph.constant(np.float32(-1), like)])
        graph.become(node, "Mul" if node.op == "Mul" else "Add", [x, node.inputs[0]])
        return
    if node.op == "Div":
        if not right.all():
            return
        graph.become(node, "Mul", [node.inputs[0], graph.constant((1 / right.astype(float)).astype(np.float32), like)])
        return
    if node.op == "Sub":
        graph.become(node, "Add", [node.inputs[0], graph.constant(-right, like)])
        return


def _merge(node, graph):
    """Merge a Mul or Add with the one before it, or put the Mul first."""
    first = graph.producer(node.inputs[0])
    if first is None or first.op not in ("Add", "Mul") or not graph.only_feeds(first.outputs[0], node):
        return
    a, b = _number(first, graph, 1), _number(node, graph, 1)
    if a is None or b is None or (first.op, node.op) == ("Mul", "Add"):
        return
    together = a + b if node.op == "Add" else a * b
    if together.size > max(a.size, b.size) or not np.isfinite(together).all():
        return  # a row and a column would broadcast to a whole image
    together = graph.constant(together.astype(np.float32), node.outputs[0])
    if first.op == node.op:
        graph.become(node, node.op, [first.inputs[0], together])
    else:  # (x + a) * b = x * b + a * b
        scale = node.inputs[1]
        graph.become(first, "Mul", [first.inputs[0], scale])
        graph.become(node, "Add", [first.outputs[0], together])


def _uniform(graph):
    """Replace constants of equal numbers by scalars; drop additions of 0 and multiplications by 1."""
    found = []
    for node in graph.nodes:
        number = _number(node, graph, 1) if node.op in ("Add", "Mul") else None
        if number is not None and number.size and (number == number.flat[0]).all():
            value = float(number.flat[0])
            nothing = value == (0 if node.op == "Add" else 1)
            if number.ndim or nothing:
                found.append((node, number, value, nothing))
    shapes = graph.shapes() if found else {}
    for node, number, value, nothing in found:
        shape = shapes.get(node.inputs[0])
        if not shape or len(number.shape) > len(shape):
            continue
        if any(m not in (1, n) for m, n in zip(number.shape[::-1], shape[::-1], strict=False)):
            continue  # the constant broadcasts the value to a larger shape
        if not (nothing and graph.bypass(node)) and number.ndim:
            graph.become(node, node.op, [node.inputs[0], graph.constant(np.float32(value), node.outputs[0])])
