"""Rewrite a frozen TensorFlow graph as ONNX, without TensorFlow, protobuf or OpenCV's own importer.

    Relu(x) + alpha * (x - |x|) * 0.5, Relu(x) - 0.2 * Relu(-x), max(x, 0.2 * x) …    →    PRelu, LeakyRelu
    Conv2D ── Add (bias), Mul (scale)                                                 →    Conv
    Conv2DBackpropInput (stride s)                                                    →    Conv ── shuffle
    DepthToSpace ── Relu, Tanh, Add … ── y                                            →    Relu, Tanh, Add … ── shuffle

It supports the operations of the networks for OpenCV's dnn_superres: FSRCNN, ESPCN, LapSRN, EDSR. A shuffle is delayed
until a node needs its pixels; one at the end is left to the host, which is faster.
"""

import re
from collections import Counter
from dataclasses import dataclass, replace

from cvsr.errors import ModelError
from cvsr.modelfiles.onnx_writer import SIDE
from cvsr.modelfiles.tensorflow import graphdef
from cvsr.modelfiles.tensorflow.builder import GraphBuilder, Unsupported, Value
from cvsr.modelfiles.tensorflow.graphdef import NodeDef, refused
from cvsr.modelfiles.tensorflow.rules import RULES, Operand, image


@dataclass(frozen=True)
class Rewritten:
    """The bytes of an ONNX file, its operations, and what the host must do to its outputs: tanh, then a shuffle."""

    onnx: bytes
    subpixel: bool
    tanh: bool
    ops: tuple[str, ...]


def rewrite(data: bytes, channels: int, scale: int) -> Rewritten:
    """Return a frozen graph as ONNX, whose outputs have the same names.

    ``channels``: those of the input image. If the graph ends with a pixel shuffle by ``scale``, that is omitted: the
    outputs are scale² planes per channel, in the order (channel, row, column). So is a tanh before it, which is slow in
    OpenCV, and rounded differently at the end of a row.
    Raise ModelError, naming the node, if the file is broken or contains an unsupported operation.
    """
    nodes = graphdef.read_graphdef(data)
    ends = graphdef.outputs(nodes)
    reader = _Reader(nodes, channels)
    network, values = reader.builder, [reader.image(end) for end in ends]
    if not values:
        raise ModelError("the frozen graph has no output")
    first = values[0]
    cut = first.block == scale > 1 and first.zoom == 1 and first.channels == channels
    cut = cut and all((value.tensor, value.block) == (first.tensor, first.block) for value in values)
    before = network.before("Tanh", first.tensor) if cut else ""
    if before:
        values = [replace(value, tensor=before) for value in values]
    elif not cut:
        values = [network.shuffled(value) for value in values]
    outputs = dict(zip(ends, ((value.tensor, value.shape()) for value in values), strict=True))
    onnx = network.graph.serialized((reader.source, (1, channels, SIDE, SIDE)), outputs)
    return Rewritten(onnx, cut, bool(before), tuple(node.op for node in network.graph.nodes))


class _Reader:
    """Reads a graph backwards from its outputs, and builds the network."""

    def __init__(self, nodes: list[NodeDef], channels: int) -> None:
        self.nodes = {node.name: node for node in nodes}
        if len(self.nodes) < len(nodes):
            raise ModelError("the frozen graph has several nodes of the same name")
        for node in nodes:  # names with other characters are reserved for the ONNX graph
            if not re.fullmatch(r"[A-Za-z0-9_.][\w.\\/>-]*", node.name, re.ASCII):
                raise refused(node, "has a name that TensorFlow does not allow")
        self.readers = Counter(name for node in nodes for name in _inputs(node))
        self.builder = GraphBuilder()
        self.channels, self.source = channels, ""
        self.found: dict[str, Operand] = {}

    def image(self, name: str) -> Value:
        """Return the image of an output, after its activation; read all nodes that it depends on."""
        waiting, begun = [name], set[str]()
        while waiting:
            node = self._node(waiting[-1])
            missing = [] if node.name in self.found else [n for n in _inputs(node) if n not in self.found]
            if missing and node.name in begun:
                raise refused(node, "reads its own result")
            begun.add(node.name)
            waiting += missing
            if not missing:
                waiting.pop()
            if not missing and node.name not in self.found:
                self.found[node.name] = self._read(node)
        try:
            return self.builder.active(image(self.found[name]))
        except Unsupported as error:
            raise refused(self.nodes[name], str(error)) from error

    def _node(self, name: str) -> NodeDef:
        if name not in self.nodes:
            raise ModelError(f"the frozen graph reads {name!r}, which is not in it")
        return self.nodes[name]

    def _read(self, node: NodeDef) -> Operand:
        if node.op == "Placeholder":
            return self._placeholder(node)
        rule, names = RULES.get(node.op), _inputs(node)
        if rule is None:
            raise refused(node, "is an operation that cvsr does not support: convert the model with cvsr_converters")
        if len(names) != rule.inputs:
            raise refused(node, f"has {len(names)} inputs instead of {rule.inputs}")
        operands = [self.found[name] for name in names]
        for place, (name, operand) in enumerate(zip(names, operands, strict=True)):
            if isinstance(operand, Value) and self.readers[name] > 1:
                operands[place] = replace(operand, owned=False)
        try:
            return rule.apply(self.builder, node, *operands)
        except Unsupported as error:
            raise refused(node, str(error)) from error

    def _placeholder(self, node: NodeDef) -> Value:
        if self.source:
            raise refused(node, f"is a second input besides {self.source!r}: only networks with one are supported")
        self.source = node.name
        return Value(node.name, self.channels)


def _inputs(node: NodeDef) -> list[str]:
    """Return the names of the nodes whose numbers a node reads."""
    names = [name.removesuffix(":0") for name in node.inputs if not name.startswith("^")]
    # the output size of a transposed convolution is that of the traced image: ignore it
    return names[1:] if node.op == "Conv2DBackpropInput" else names
