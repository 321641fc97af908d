"""Change a network's inputs or outputs, in the original and in its graph alike."""

from dataclasses import replace

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def selected(original, output):
    """Return the original with only its output number ``output``."""

    def graph(size):
        model = original.graph(size)
        keep = model.graph.output[output]
        del model.graph.output[:]
        model.graph.output.append(keep)
        return model

    if len(original.outputs) == 1:
        return original
    run = original.run
    return replace(original, outputs=[original.outputs[output]], run=lambda *blobs: [run(*blobs)[output]], graph=graph)


def affine(original, incoming=(1.0, 0.0), outgoing=(1.0, 0.0)):
    """Return the original with its inputs ``a * x + b`` and its outputs ``c * y + d``.

    ``incoming`` = (a, b) and ``outgoing`` = (c, d): each a number, or one number per channel.
    """
    if incoming == (1.0, 0.0) and outgoing == (1.0, 0.0):
        return original
    (a, b), (c, d) = ([np.asarray(n, np.float32).reshape(-1, 1, 1) for n in pair] for pair in (incoming, outgoing))

    def run(*blobs):
        return [y * c + d for y in original.run(*(x * a + b for x in blobs))]

    def graph(size):
        model = original.graph(size)
        for info in model.graph.input:
            before(model, info, _affine_nodes(model, f"{info.name}.in", a, b))
        for info in model.graph.output:
            after(model, info, _affine_nodes(model, f"{info.name}.out", c, d))
        return model

    return replace(original, run=run, graph=graph)


def padded(original, margin):
    """Return the original with its inputs padded by ``margin`` reflected pixels.

    A network with "valid" convolutions loses a border; with this padding, the result has the full size.
    """
    if not margin:
        return original
    margins = [margin * one.factor for one in original.inputs]

    def run(*blobs):
        around = [[(0, 0), (0, 0), (m, m), (m, m)] for m in margins]
        return original.run(*(np.pad(x, pads, "reflect") for x, pads in zip(blobs, around, strict=True)))

    def graph(size):
        model = original.graph(tuple(n + 2 * margin for n in size))
        for info, m in zip(model.graph.input, margins, strict=True):
            for dim in info.type.tensor_type.shape.dim[2:]:
                dim.dim_value -= 2 * m
            pads = _constant(model, np.array([0, 0, m, m] * 2), f"{info.name}.pads")
            before(model, info, [("Pad", [pads], {"mode": "reflect"})])
        return model

    return replace(original, run=run, graph=graph)


def _affine_nodes(model, name, factor, offset):
    """Return the nodes of ``factor * x + offset``, as (op, further inputs, attributes); add their constants."""
    nodes = []
    for op, value, idle in (("Mul", factor, 1), ("Add", offset, 0)):
        if (value != idle).any():
            nodes.append((op, [_constant(model, value, f"{name}.{op}")], {}))
    return nodes


def _constant(model, array, name):
    name = _fresh(model, name)
    model.graph.initializer.append(numpy_helper.from_array(array, name))
    return name


def _fresh(model, name):
    """Return a name that the graph does not use: several changes may be made to one graph."""
    used = {value for node in model.graph.node for value in (*node.input, *node.output)}
    used |= {tensor.name for tensor in model.graph.initializer}
    while name in used:
        name += "+"
    return name


def before(model, info, chain):
    """Insert a chain of nodes between the input ``info`` and its readers."""
    if not chain:
        return
    last = _fresh(model, f"{info.name}.fed")
    for node in model.graph.node:
        node.input[:] = [last if name == info.name else name for name in node.input]
    for place, node in enumerate(_nodes(chain, info.name, last)):
        model.graph.node.insert(place, node)
    for output in model.graph.output:
        output.name = last if output.name == info.name else output.name


def after(model, info, chain):
    """Append a chain of nodes to the output ``info``, which gets a new name."""
    if not chain:
        return
    inner, outer = info.name, _fresh(model, f"{info.name}.given")
    model.graph.node.extend(_nodes(chain, inner, outer))
    shape = [d.dim_value or d.dim_param or None for d in info.type.tensor_type.shape.dim]
    info.CopyFrom(helper.make_tensor_value_info(outer, TensorProto.FLOAT, shape))


def _nodes(chain, source, target):
    values = [source, *(f"{target}.{i}" for i in range(1, len(chain))), target]
    return [
        helper.make_node(op, [values[i], *more], [values[i + 1]], values[i + 1], **attrs)
        for i, (op, more, attrs) in enumerate(chain)
    ]
