"""Fold the Add of a constant per channel into the bias of the convolution before it.

    x ── Conv ── Add(·, b) ── y                x ── Conv (bias b) ── y
    x ── ConvTranspose ── Add(·, b) ── y  →    x ── ConvTranspose (bias b) ── y

    x ── Conv (bias b, bias c) ── y       →    x ── Conv (bias b + c) ── y

Not for speed: OpenCV 4.6 adds a separate constant after a ConvTranspose once more at every change of the input size, so
the errors are 0, b, 2b ... It runs late, because other passes bring such pairs together.
tf2onnx gives a convolution two biases if TensorFlow's optimizer has already folded one in.
"""

import numpy as np

from cvsr_converters.passes.graph import per_channel


def run(graph):
    _add_up(graph)
    for node in [n for n in graph.nodes if n.op in ("Add", "Sub")]:
        found = _match(node, graph)
        if found is None:
            continue
        conv, addend = found
        bias = np.broadcast_to(addend, out_channels(conv, graph)).astype(np.float32)
        if len(conv.inputs) == 3 and conv.inputs[2]:
            bias = graph.constants[conv.inputs[2]] + bias
        conv.inputs = [*conv.inputs[:2], graph.constant(bias, conv.outputs[0])]
        graph.note(conv)
        node.inputs = list(conv.outputs)
        graph.bypass(node)


def _add_up(graph):
    """Combine several biases into one."""
    for conv in [n for n in graph.nodes if n.op in ("Conv", "ConvTranspose") and len(n.inputs) > 3]:
        biases = [graph.constants.get(name) for name in conv.inputs[2:] if name]
        if all(bias is not None for bias in biases):
            conv.inputs = [*conv.inputs[:2], graph.constant(sum(biases), conv.outputs[0])]
            graph.note(conv)


def _match(node, graph):
    """Return (convolution, addend: one number or one per channel), or None."""
    ways = [node.inputs] if node.op == "Sub" else [node.inputs, node.inputs[::-1]]
    for value, addend in ways:
        conv, array = graph.producer(value), graph.constants.get(addend)
        if conv is None or conv.op not in ("Conv", "ConvTranspose") or array is None:
            continue
        if not graph.only_feeds(value, node) or conv.inputs[1] not in graph.constants:
            continue
        if len(conv.inputs) == 3 and conv.inputs[2] and conv.inputs[2] not in graph.constants:
            continue
        numbers = per_channel(array)
        if numbers is not None and numbers.size in (1, out_channels(conv, graph)):
            return conv, numbers if node.op == "Add" else -numbers
    return None


def out_channels(conv, graph):
    """Return how many channels ``conv`` outputs."""
    weight = graph.constants[conv.inputs[1]]
    return weight.shape[0] if conv.op == "Conv" else weight.shape[1] * conv.attrs.get("group", 1)
