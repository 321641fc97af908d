"""Compare two graphs, to find sizes that are baked in and name their layers."""

import numpy as np
from onnx import helper, numpy_helper


def differences(first, second):
    """Return a line per difference between two canonical ONNX models, except for the sizes of inputs and outputs."""
    lines = []
    for a, b in zip(first.graph.node, second.graph.node, strict=False):
        if _essence(a) != _essence(b):
            lines.append(f"{layer_of(a)} is {_brief(a)} at one size and {_brief(b)} at the other")
    constants = [{c.name: numpy_helper.to_array(c) for c in m.graph.initializer} for m in (first, second)]
    for name in constants[0].keys() & constants[1].keys():
        a, b = (values[name] for values in constants)
        if a.shape != b.shape or a.dtype != b.dtype or not np.array_equal(a, b):
            user = next(node for node in first.graph.node if name in node.input)
            lines.append(f"{layer_of(user)}: {_value(a)} at one size and {_value(b)} at the other")
    if not lines and (counts := [len(m.graph.node) for m in (first, second)])[0] != counts[1]:
        lines.append(f"the graph has {counts[0]} nodes at one size and {counts[1]} at the other")
    return sorted(lines)


def _essence(node):
    return node.op_type, list(node.input), list(node.output), [a.SerializeToString() for a in node.attribute]


def layer_of(node):
    return f"layer {node.doc_string or node.name!r} ({node.op_type})"


def _brief(node):
    attrs = [f"{a.name}={helper.get_attribute_value(a)}" for a in node.attribute]
    return f"{node.op_type}({', '.join([*node.input, *attrs])})"


def _value(array):
    return str(array.tolist()) if array.size <= 8 else f"a constant of shape {array.shape}"
