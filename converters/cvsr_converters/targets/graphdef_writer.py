"""Write an ONNX graph of NCHW images as a TensorFlow GraphDef of NHWC images, node by node.

It writes only what every OpenCV reads correctly from a frozen graph, and raises a ModelError about anything else.
"""

import numpy as np
from tensorflow import make_tensor_proto
from tensorflow.core.framework import graph_pb2
from tensorflow.dtypes import float32, int32

from cvsr.errors import ModelError
from cvsr_converters.targets.pixel_shuffles import guess

OUTPUT = "NCHW_output"  # the name that dnn_superres requests
SAME_OP = frozenset({"Abs", "Elu", "Relu", "Sigmoid", "Tanh"})  # one input, no attributes, and the same name in both
PRODUCER = 440  # GraphDef version of an early TensorFlow 2: readers reject versions newer than their own


def write(graph, source, result):
    """Return the GraphDef of a :class:`~cvsr_converters.passes.Graph` in canonical order, with one input and output.

    ``source``: the name of its Placeholder; ``result``: that of its last node, which restores NCHW.
    """
    writer = _Writer(graph, source)
    for node in graph.nodes:
        writer.translate(node)
    writer.node(result, "Transpose", [graph.outputs[0], writer.const(f"{result}/perm", [0, 3, 1, 2])], Tperm=int32)
    return writer.graphdef


class _Writer:
    """Adds TensorFlow's nodes, each named after the ONNX value that it computes."""

    def __init__(self, graph, source):
        self.graph, self.shapes = graph, graph.shapes()
        self.graphdef = graph_pb2.GraphDef()
        self.graphdef.versions.producer = PRODUCER
        self.renamed = {graph.inputs[0].name: source}
        placeholder = self.graphdef.node.add(name=source, op="Placeholder")
        placeholder.attr["dtype"].type = float32.as_datatype_enum

    def node(self, name, op, inputs, **attrs):
        """Add a node of float32; return its name. Attributes are ints, floats, types, strings and lists of ints."""
        node = self.graphdef.node.add(name=name, op=op, input=[self.renamed.get(value, value) for value in inputs])
        for key, value in {"T": float32, **attrs}.items():
            entry = node.attr[key]
            if hasattr(value, "as_datatype_enum"):
                entry.type = value.as_datatype_enum
            elif isinstance(value, str):
                entry.s = value.encode()
            elif isinstance(value, list):
                entry.list.i.extend(value)
            elif isinstance(value, float):
                entry.f = value
            else:
                entry.i = value
        return name

    def const(self, name, value):
        """Add a constant, float32 for numpy values and int32 for Python's; return its name."""
        kind = int32 if isinstance(value, (int, list)) else float32
        node = self.graphdef.node.add(name=name, op="Const")
        node.attr["dtype"].type = kind.as_datatype_enum
        node.attr["value"].tensor.CopyFrom(make_tensor_proto(value, kind))
        return name

    def translate(self, node):
        """Add the nodes that compute an ONNX node."""
        if node.op in SAME_OP:
            self.node(node.outputs[0], node.op, node.inputs[:1])
        elif rule := getattr(self, f"_{node.op.lower()}", None):
            rule(node, node.outputs[0])
        else:
            self.refuse(node, f"not every OpenCV reads the operation {node.op} from it")

    def refuse(self, node, why):
        """Raise ModelError about a node."""
        layer = node.origin or node.outputs[0]
        raise ModelError(
            f"layer {layer!r} does not fit into a file for dnn_superres: {why}. Use another layer in its place, or "
            "convert to ONNX"
        )

    def constant(self, node, place):
        """Return input number ``place`` of a node as an array; raise ModelError if it is not constant."""
        array = self.graph.constants.get(node.inputs[place])
        if array is None:
            self.refuse(node, f"its {'weights' if place == 1 else 'bias'} must be constant")
        return array

    def channels(self, value):
        return self.shapes[value][1]

    def _conv(self, node, name):
        kernel, group = self.constant(node, 1), node.attrs.get("group", 1)
        kernel, strides = _undilated(kernel, node.attrs.get("dilations", [1, 1])), node.attrs.get("strides", [1, 1])
        op, count = "Conv2D", self.channels(node.inputs[0])
        if group == count and group > 1:
            op, kernel = "DepthwiseConv2dNative", kernel.reshape(count, -1, *kernel.shape[2:]).transpose(2, 3, 0, 1)
        else:
            kernel = _ungrouped(kernel, group).transpose(2, 3, 1, 0)
        source, padding = self._padded(node, kernel.shape[:2], strides)
        biased = len(node.inputs) > 2 and node.inputs[2]
        linear = f"{name}/linear" if biased else name
        weight = self.const(f"{name}/weight", kernel)
        self.node(linear, op, [source, weight], padding=padding, data_format="NHWC", strides=[1, *strides, 1])
        if biased:
            self._bias(name, linear, self.constant(node, 2))

    def _padded(self, node, size, strides):
        """Return (the value to convolve, "SAME" or "VALID")."""
        pads = node.attrs.get("pads", [0, 0, 0, 0])
        if node.attrs.get("auto_pad", "NOTSET") != "NOTSET":
            self.refuse(node, "its padding depends on the size of the image")
        if not any(pads):
            return node.inputs[0], "VALID"
        if list(strides) == [1, 1] and all(2 * pads[i] == 2 * pads[i + 2] == size[i] - 1 for i in (0, 1)):
            return node.inputs[0], "SAME"
        name = f"{node.outputs[0]}/padded"
        around = [[0, 0], [pads[0], pads[2]], [pads[1], pads[3]], [0, 0]]
        self.node(name, "Pad", [node.inputs[0], self.const(f"{name}/paddings", around)], Tpaddings=int32)
        return name, "VALID"

    def _bias(self, name, source, bias):
        vector = self.const(f"{name}/bias", np.ravel(bias).astype(np.float32))
        self.node(name, "BiasAdd", [source, vector], data_format="NHWC")

    def _prelu(self, node, name):
        """max(x, 0) + slope * (x - |x|) * 0.5, in exactly the nodes that OpenCV's importer recognizes."""
        x, slope = node.inputs[0], self._vector(node, node.inputs[1], node.inputs[0])
        if (slope == slope[0]).all():
            self.node(name, "LeakyRelu", [x], alpha=float(slope[0]))
            return
        positive = self.node(f"{name}/positive", "Relu", [x])
        twice = self.node(f"{name}/twice", "Sub", [x, self.node(f"{name}/abs", "Abs", [x])])
        sloped = self.node(f"{name}/sloped", "Mul", [self.const(f"{name}/slope", slope), twice])
        half = self.const(f"{name}/half", np.float32(0.5))
        self.node(name, "Add", [positive, self.node(f"{name}/negative", "Mul", [sloped, half])])

    def _leakyrelu(self, node, name):
        self.node(name, "LeakyRelu", node.inputs, alpha=float(node.attrs.get("alpha", 0.01)))

    def _clip(self, node, name):
        """max(x - low, 0) - max(x - high, 0) + low."""
        x, limits = node.inputs[0], [self.constant(node, place) for place in (1, 2)]
        ramps = []
        for end, limit in zip(("low", "high"), limits, strict=True):
            moved = np.full(self.channels(x), -limit)
            self._bias(f"{name}/{end}", x, moved)
            ramps.append(self.node(f"{name}/above_{end}", "Relu", [f"{name}/{end}"]))
        difference = self.node(f"{name}/difference", "Sub", ramps)
        self._bias(name, difference, np.full(self.channels(x), limits[0]))

    def _concat(self, node, name):
        if node.attrs["axis"] not in (1, -3):
            self.refuse(node, "it concatenates along another axis than the channels")
        inputs = [*node.inputs, self.const(f"{name}/axis", 3)]
        self.node(name, "ConcatV2", inputs, N=len(node.inputs), Tidx=int32)

    def _depthtospace(self, node, name):
        s, planes = node.attrs["blocksize"], self.channels(node.inputs[0])
        if (guessed := guess(planes)) != s:
            self.refuse(node, f"dnn_superres shuffles {planes} planes by {guessed}, but this network by {s}")
        # OpenCV 4.11 and later read the second name
        self.node(name, "DepthToSpace", node.inputs, block_size=s, blocksize=s, data_format="NHWC")

    def _split(self, node, name):
        axis = self.const(f"{name}/axis", 3)
        self.node(name, "Split", [axis, node.inputs[0]], num_split=len(node.outputs))
        self.renamed |= {value: f"{name}:{number}" for number, value in enumerate(node.outputs) if number}

    def _add(self, node, name):
        self._binary(node, name, "Add")

    def _sub(self, node, name):
        self._binary(node, name, "Sub")

    def _mul(self, node, name):
        self._binary(node, name, "Mul")

    def _binary(self, node, name, op):
        first, second = node.inputs
        if first in self.graph.constants and op != "Sub":
            first, second = second, first
        if second not in self.graph.constants:
            if first in self.graph.constants or self.shapes[first] != self.shapes[second]:
                self.refuse(node, f"{node.op} has inputs of different shapes")
            self.node(name, op, [first, second])
            return
        vector = self._vector(node, second, first)
        if op == "Mul" and (vector == vector[0]).all():
            self.node(name, "Mul", [first, self.const(f"{name}/factor", vector[0])])
        elif op == "Mul":  # a convolution, because OpenCV mistakes an Add after a per-channel Mul for its bias
            weight = self.const(f"{name}/factor", vector.reshape(1, 1, -1, 1))
            attrs = {"padding": "VALID", "strides": [1, 1, 1, 1], "data_format": "NHWC"}
            self.node(name, "DepthwiseConv2dNative", [first, weight], **attrs)
        else:
            self._bias(name, first, vector if op == "Add" else -vector)

    def _vector(self, node, value, other):
        """Return the constant ``value`` as one number for each channel of ``other``."""
        array = self.graph.constants.get(value)
        if array is None or array.size != (array.shape[-3] if array.ndim > 2 else 1):
            self.refuse(node, "it needs a constant of one number, or one per channel")
        return np.broadcast_to(array.ravel(), self.channels(other)).astype(np.float32)


def _undilated(kernel, dilations):
    """Return a dilated kernel as (O, I, H, W) with zeros in its gaps: OpenCV's importer ignores dilations."""
    height, width = (d * (n - 1) + 1 for d, n in zip(dilations, kernel.shape[2:], strict=True))
    whole = np.zeros((*kernel.shape[:2], height, width), np.float32)
    whole[:, :, :: dilations[0], :: dilations[1]] = kernel
    return whole


def _ungrouped(kernel, groups):
    """Return a grouped kernel as (O, I, H, W) with zeros for the channels that a group does not read."""
    outputs, inputs = kernel.shape[0] // groups, kernel.shape[1]
    whole = np.zeros((kernel.shape[0], inputs * groups, *kernel.shape[2:]), np.float32)
    for group in range(groups):
        rows = slice(group * outputs, (group + 1) * outputs)
        whole[rows, group * inputs : (group + 1) * inputs] = kernel[rows]
    return whole
