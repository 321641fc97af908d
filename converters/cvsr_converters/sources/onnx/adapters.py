"""Rewrite operators of other opsets in the opset that the passes use: one function for each that has changed."""

import numpy as np

from cvsr.errors import ModelError
from cvsr_converters.passes.graph import OPSET, Node

GELU_TANH = np.sqrt(2 / np.pi)


class Writer:
    """Writes the nodes that replace one node; the last of them has its outputs."""

    def __init__(self, graph, node, shapes, version):
        self.graph, self.node, self.shapes, self.version, self.nodes = graph, node, shapes, version, []

    def constant(self, array):
        """Return the name of a new constant."""
        return self.graph.constant(array, self.node.outputs[0])

    def number(self, value):
        """Return the name of a new constant of one float."""
        return self.constant(np.float32(value))

    def add(self, op, *inputs, **attrs):
        """Add a node; return the name of its output."""
        name = f"{self.node.outputs[0]}~{op}{len(self.nodes)}"
        self.nodes.append(Node(op, list(inputs), [name], attrs, self.node.origin))
        return name

    def end(self, op, *inputs, **attrs):
        """Add the last node, which has the outputs of the original."""
        self.nodes.append(Node(op, list(inputs), list(self.node.outputs), attrs, self.node.origin))

    def keep(self):
        """Keep the node, changed or not."""
        self.nodes.append(self.node)

    def value(self, place):
        """Return the constant at input number ``place``, or None if there is no such input; refuse a computed one."""
        if place >= len(self.node.inputs) or not (name := self.node.inputs[place]):
            return None
        if name not in self.graph.constants:
            self.refuse(f"its input {name!r} is computed from the pixels")
        return self.graph.constants[name]

    def rank(self):
        """Return the rank of the first input."""
        shape = self.shapes.get(self.node.inputs[0])
        if shape is None:
            self.refuse("the rank of its input is unknown")
        return len(shape)

    def only(self, name, *allowed):
        """Remove and return the attribute ``name``; refuse a value that is not ``allowed``."""
        value = self.node.attrs.pop(name, allowed[0])
        if value not in allowed:
            self.refuse(f"{name}={value} is not supported in opset {OPSET}")
        return value

    def refuse(self, why):
        """Raise a ModelError that names the layer."""
        raise ModelError(f"layer {self.node.origin!r}: this use of the operator {self.node.op} is not supported: {why}")


def _axes_as_input(writer, node):
    axes = node.attrs.pop("axes", None)
    if axes is not None:
        node.inputs = [node.inputs[0], writer.constant(np.array(axes, np.int64))]
    writer.keep()


def _axes_as_attribute(writer, node):
    axes = writer.value(1)
    idle = node.attrs.pop("noop_with_empty_axes", 0)
    node.inputs = node.inputs[:1]
    if axes is not None and axes.size:
        node.attrs["axes"] = [int(a) for a in axes]
    elif idle:
        return writer.end("Identity", node.inputs[0])
    return writer.keep()


def _batch_normalization(writer, node):
    if node.attrs.get("training_mode") or node.attrs.get("spatial", 1) != 1:
        writer.refuse("it is in training mode; call model.eval() and export the model again")
    node.attrs = {"epsilon": node.attrs.get("epsilon", 1e-5)}
    node.outputs = node.outputs[:1]
    writer.keep()


def _average_pool(writer, node):
    if any(d != 1 for d in node.attrs.pop("dilations", [])):
        writer.refuse("it is dilated")
    writer.keep()


def _cast(writer, node):
    node.attrs.pop("saturate", None)
    writer.keep()


def _clip(writer, node):
    limits = [node.attrs.get(name) for name in ("min", "max")]
    if writer.version < 11:
        names = ["" if limit is None else writer.number(limit) for limit in limits]
        node.inputs, node.attrs = [node.inputs[0], *names], {}
    writer.keep()


def _dropout(writer, node):
    if len(node.outputs) > 1 and any(writer.graph.consumers(mask) for mask in node.outputs[1:]):
        writer.refuse("its mask is used")
    if (training := writer.value(2)) is not None and training.any():
        writer.refuse("it is in training mode; call model.eval() and export the model again")
    node.outputs = node.outputs[:1]
    writer.end("Identity", node.inputs[0])


def _gelu(writer, node):
    x, kind = node.inputs[0], node.attrs.get("approximate", "none")
    if kind == "tanh":
        cube = writer.add("Mul", writer.add("Mul", writer.add("Mul", x, x), x), writer.number(0.044715))
        inner = writer.add("Tanh", writer.add("Mul", writer.add("Add", x, cube), writer.number(GELU_TANH)))
    else:
        inner = writer.add("Erf", writer.add("Mul", x, writer.number(np.sqrt(0.5))))
    writer.end("Mul", writer.add("Mul", x, writer.number(0.5)), writer.add("Add", inner, writer.number(1)))


def _hard_swish(writer, node):
    x = node.inputs[0]
    writer.end("Mul", x, writer.add("HardSigmoid", x, alpha=1 / 6, beta=0.5))


def _mish(writer, node):
    x = node.inputs[0]
    writer.end("Mul", x, writer.add("Tanh", writer.add("Softplus", x)))


def _layer_normalization(writer, node):
    if any(writer.graph.consumers(name) for name in node.outputs[1:]):
        writer.refuse("its mean or deviation is used")
    x, rank, axis = node.inputs[0], writer.rank(), node.attrs.get("axis", -1)
    axes = list(range(axis % rank, rank))
    centered = writer.add("Sub", x, writer.add("ReduceMean", x, axes=axes, keepdims=1))
    variance = writer.add("ReduceMean", writer.add("Mul", centered, centered), axes=axes, keepdims=1)
    deviation = writer.add("Sqrt", writer.add("Add", variance, writer.number(node.attrs.get("epsilon", 1e-5))))
    result = writer.add("Div", centered, deviation)
    node.outputs = node.outputs[:1]
    if len(node.inputs) > 2 and node.inputs[2]:
        writer.end("Add", writer.add("Mul", result, node.inputs[1]), node.inputs[2])
    else:
        writer.end("Mul", result, node.inputs[1])


def _pad(writer, node):
    if node.attrs.get("mode") == "wrap":
        writer.refuse(f"mode=wrap is not supported in opset {OPSET}")
    if writer.version < 11:
        pads, fill = node.attrs.pop("pads"), node.attrs.pop("value", 0.0)
        node.inputs = [node.inputs[0], writer.constant(np.array(pads, np.int64)), writer.number(fill)]
    if (axes := writer.value(3)) is not None:
        rank = writer.rank()
        full, given = np.zeros((2, rank), np.int64), writer.value(1).reshape(2, -1)
        full[:, axes] = given
        node.inputs = [node.inputs[0], writer.constant(full.ravel()), *node.inputs[2:3]]
    writer.keep()


def _reshape(writer, node):
    if node.attrs.pop("allowzero", 0) and (writer.value(1) == 0).any():
        writer.refuse("its result is empty")
    writer.keep()


def _resize(writer, node):
    if writer.version < 11:  # only one coordinate mode then; Upsample, the older name, may store the scales itself
        scales = node.attrs.pop("scales", None)
        scales = node.inputs[1] if scales is None else writer.constant(np.array(scales, np.float32))
        mode = {"bilinear": "linear"}.get(node.attrs.get("mode", "nearest"), node.attrs.get("mode", "nearest"))
        attrs = {"mode": mode, "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return writer.end("Resize", node.inputs[0], "", scales, **attrs)
    writer.only("antialias", 0)
    writer.only("keep_aspect_ratio_policy", "stretch")
    if node.attrs.get("coordinate_transformation_mode") == "half_pixel_symmetric":
        writer.refuse(f"coordinate_transformation_mode=half_pixel_symmetric is not supported in opset {OPSET}")
    if (axes := node.attrs.pop("axes", None)) is not None:
        shape = np.array(writer.shapes[node.inputs[0]])
        for place, whole, kind in ((2, np.ones(len(shape)), np.float32), (3, shape, np.int64)):
            if (given := writer.value(place)) is not None and given.size:
                full = whole.astype(kind)
                full[axes] = given
                node.inputs[place] = writer.constant(full)
    _drop_empty(writer, node)
    return writer.keep()


def _drop_empty(writer, node):
    """Omit empty inputs, which were required before opset 13."""
    for place in range(1, len(node.inputs)):
        if (given := writer.value(place)) is not None and not given.size:
            node.inputs[place] = ""
    while node.inputs[-1] == "":
        node.inputs.pop()


def _scatter(writer, node):
    writer.only("reduction", "none")
    node.op = "ScatterElements" if node.op == "Scatter" else node.op
    writer.keep()


def _slice(writer, node):
    if writer.version < 10:
        parts = [node.attrs.pop("starts"), node.attrs.pop("ends")]
        parts.append(node.attrs.pop("axes", list(range(len(parts[0])))))
        node.inputs = [node.inputs[0], *(writer.constant(np.array(part, np.int64)) for part in parts)]
    writer.keep()


def _softmax(writer, node):
    if writer.version < 13:  # over this and all later axes, not over this one alone
        rank, axis = writer.rank(), node.attrs.get("axis", 1)
        shape = writer.shapes[node.inputs[0]]
        if any(n != 1 for n in shape[axis % rank + 1 :]):
            writer.refuse("it covers several axes at once, as before opset 13; export the model with opset 13")
        node.attrs["axis"] = axis
    writer.keep()


def _split(writer, node):
    parts = node.attrs.pop("split", None)
    count = node.attrs.pop("num_outputs", None)
    if parts is None and count is not None:
        total = writer.shapes.get(node.inputs[0], ())
        axis = node.attrs.get("axis", 0)
        if writer.rank() <= axis or not total[axis]:
            writer.refuse("the size of the axis that it splits is unknown")
        size = -(-total[axis] // count)
        parts = [size] * (count - 1) + [total[axis] - size * (count - 1)]
    if parts is not None:
        node.inputs = [node.inputs[0], writer.constant(np.array(parts, np.int64))]
    writer.keep()


ADAPT = {
    "AveragePool": _average_pool, "BatchNormalization": _batch_normalization, "Cast": _cast, "Clip": _clip,
    "Dropout": _dropout, "Gelu": _gelu, "HardSwish": _hard_swish, "LayerNormalization": _layer_normalization,
    "Mish": _mish, "Pad": _pad, "ReduceSum": _axes_as_input, "Reshape": _reshape, "Resize": _resize,
    "Scatter": _scatter, "ScatterElements": _scatter, "ScatterND": _scatter, "Slice": _slice, "Softmax": _softmax,
    "LogSoftmax": _softmax, "Split": _split, "Squeeze": _axes_as_input, "Unsqueeze": _axes_as_input,
    "Upsample": _resize,
} | dict.fromkeys(
    ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
     "ReduceSumSquare"), _axes_as_attribute,
)  # fmt: skip
