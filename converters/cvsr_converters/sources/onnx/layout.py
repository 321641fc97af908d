"""Find which axis of an ONNX graph's input holds the channels, and how many there are."""

from cvsr.errors import ModelError
from cvsr_converters.sources.onnx.types import TO_FIRST

COLORS = (1, 3, 4)  # possible numbers of channels, if no convolution shows it
POINTWISE = frozenset({"Add", "Cast", "Clip", "Div", "Identity", "Mul", "Pad", "Sub"})


def channels_of(graph, info):
    """Return (channels, whether they are the last axis) of an input (N, ?, ?, ?); raise ModelError if unclear.

    The first convolution decides; without one, the axis of size 1, 3 or 4 holds the channels.
    """
    if found := _by_convolution(graph, info.name):
        return found
    dims = [d.dim_value for d in info.type.tensor_type.shape.dim]
    first, last = dims[1] in COLORS, dims[3] in COLORS
    if first != last:
        return (dims[3], True) if last else (dims[1], False)
    if bool(dims[1]) != bool(dims[3]):
        return (dims[3], True) if dims[3] else (dims[1], False)
    raise ModelError(
        f"cannot tell which axis of the input {info.name!r} of shape {dims} holds the channels; export the model with "
        "a fixed number of channels and dynamic height and width"
    )


def _by_convolution(graph, name):
    """Return (channels, whether last) from the first convolution after the input, or None if there is none nearby."""
    weights = {weight.name: weight.dims for weight in graph.initializer}
    readers = {}
    for node in graph.node:
        for value in node.input:
            readers.setdefault(value, []).append(node)
        if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
            weights[node.output[0]] = node.attribute[0].t.dims
    waiting, seen = [(name, False)], set()
    while waiting:
        value, last = waiting.pop(0)
        for node in readers.get(value, ()):
            attributes = {a.name: a for a in node.attribute}
            if node.op_type == "Conv" and node.input[0] == value and node.input[1] in weights:
                group = attributes["group"].i if "group" in attributes else 1
                return weights[node.input[1]][1] * group, last
            turned = node.op_type == "Transpose" and "perm" in attributes and list(attributes["perm"].ints) == TO_FIRST
            if node.output and node.output[0] not in seen and (node.op_type in POINTWISE or (turned and not last)):
                seen.add(node.output[0])
                waiting.append((node.output[0], last or turned))
    return None
