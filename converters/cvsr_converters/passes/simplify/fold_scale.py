"""Fold the multiplication by a constant per channel into the convolution before or after it.

    x ── Conv ── Mul(·, k) ── y                 →      x ── Conv (weights and bias · k) ── y
    x ── Mul(·, k) ── Conv ── y                 →      x ── Conv (weights · k) ── y
    x ── Add(·, b) ── Conv (no padding) ── y    →      x ── Conv (bias + weights · b) ── y

Padding with zeros comes after the Add, so with padding, the last rewrite would not be exact at the borders.
"""

import numpy as np

from cvsr_converters.passes.graph import per_channel
from cvsr_converters.passes.simplify.fold_bias import out_channels


def run(graph):
    found = [(n, per_channel(graph.array(n, 1))) for n in graph.nodes if n.op in ("Mul", "Add")]
    found = [(node, factor) for node, factor in found if factor is not None]
    shapes = graph.shapes() if found else {}
    for node, factor in found:
        if not (node.op == "Mul" and _into_before(node, factor, graph)):
            _into_after(node, factor, shapes, graph)


def known(conv, graph):
    """Return whether ``conv`` is a convolution with constant weights and bias."""
    if conv is None or conv.op not in ("Conv", "ConvTranspose") or graph.array(conv, 1) is None:
        return False
    if graph.array(conv, 1).ndim != 4:
        return False  # 1-D or 3-D
    return len(conv.inputs) < 3 or not conv.inputs[2] or graph.array(conv, 2) is not None


def _into_before(node, factor, graph):
    conv = graph.producer(node.inputs[0])
    if not known(conv, graph) or not graph.only_feeds(node.inputs[0], node):
        return False
    channels = out_channels(conv, graph)
    if factor.size not in (1, channels):
        return False
    factor = np.broadcast_to(factor, channels)
    weight, groups = graph.array(conv, 1), conv.attrs.get("group", 1)
    if conv.op == "Conv":
        weight = weight * factor.reshape(-1, 1, 1, 1)
    else:
        grouped = weight.reshape(groups, -1, *weight.shape[1:]) * factor.reshape(groups, 1, -1, 1, 1)
        weight = grouped.reshape(weight.shape)
    conv.inputs[1] = graph.constant(weight.astype(np.float32), conv.outputs[0])
    if (bias := graph.array(conv, 2)) is not None:
        conv.inputs[2] = graph.constant((bias * factor).astype(np.float32), conv.outputs[0])
    return graph.bypass(node)


def _into_after(node, factor, shapes, graph):
    value, source = node.outputs[0], node.inputs[0]
    readers = graph.consumers(value)
    if value in graph.outputs or not readers or source in graph.constants:
        return False
    if not all(known(conv, graph) and conv.inputs.count(value) == 1 for conv in readers):
        return False
    if node.op == "Add" and not all(
        conv.op == "Conv" and not any(conv.attrs.get("pads", [])) and conv.attrs.get("auto_pad", "") in ("", "VALID")
        for conv in readers
    ):
        return False
    channels = _in_channels(readers[0], graph)
    if factor.size != 1 and (factor.size != channels or shapes.get(source, (0, 0))[1] != channels):
        return False
    for conv in readers:
        if node.op == "Mul":
            _scale_inputs(conv, factor, graph)
        else:
            _shift_inputs(conv, factor, graph)
    return graph.bypass(node)


def _in_channels(conv, graph):
    weight = graph.array(conv, 1)
    return weight.shape[1] * conv.attrs.get("group", 1) if conv.op == "Conv" else weight.shape[0]


def _per_weight(conv, factor, graph):
    """Return the weights of ``conv``, and ``factor`` per input channel in a shape that broadcasts to them."""
    weight, groups = graph.array(conv, 1), conv.attrs.get("group", 1)
    factor = np.broadcast_to(factor, _in_channels(conv, graph))
    if conv.op == "ConvTranspose":
        return weight, factor.reshape(-1, 1, 1, 1)
    by_output = np.repeat(factor.reshape(groups, -1), weight.shape[0] // groups, axis=0)
    return weight, by_output[:, :, None, None]


def _scale_inputs(conv, factor, graph):
    weight, factor = _per_weight(conv, factor, graph)
    conv.inputs[1] = graph.constant((weight * factor).astype(np.float32), conv.outputs[0])


def _shift_inputs(conv, offset, graph):
    weight, offset = _per_weight(conv, offset, graph)
    bias = (weight.astype(np.float64) * offset).sum(axis=(1, 2, 3))
    if (old := graph.array(conv, 2)) is not None:
        bias = bias + old
    conv.inputs = [*conv.inputs[:2], graph.constant(bias.astype(np.float32), conv.outputs[0])]
    graph.note(conv)
