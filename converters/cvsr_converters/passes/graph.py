"""The graph that the passes rewrite: ONNX's, with nodes as plain Python objects and constants as numpy arrays."""

from __future__ import annotations

import copy
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper, numpy_helper

OPSET = 13  # OpenCV 4.6 reads it, and Unsqueeze, Split and the reductions take their axes in one way only


@dataclass(eq=False)  # two nodes are the same only if they are one object
class Node:
    """One operation. ``origin`` is the name of the layer in the user's own model: errors speak of that one."""

    op: str
    inputs: list
    outputs: list
    attrs: dict = field(default_factory=dict)
    origin: str = ""


class Graph:
    """A graph with one output or more. Values are names: of an input, a constant or an output of a node.

    A pass that changes ``nodes`` or a node's inputs or outputs calls :meth:`touch` afterwards, unless it only used
    the methods below. A constant may have several users, so a pass adds a new one and never changes one in place.
    """

    def __init__(self, model):
        graph = model.graph
        self.constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
        self.inputs = [copy.deepcopy(i) for i in graph.input if i.name not in self.constants]
        self.types = {o.name: copy.deepcopy(o) for o in graph.output}
        self.outputs = [o.name for o in graph.output]
        self.nodes = [_node(n) for n in graph.node]
        self.touch()

    def touch(self):
        """Forget what was derived from the nodes, because they have changed."""
        self._producers = self._consumers = None

    def _index(self):
        self._producers, self._consumers = {}, defaultdict(list)
        for node in self.nodes:
            self._producers.update((name, node) for name in node.outputs)
            for name in node.inputs:
                self._consumers[name].append(node)

    def producer(self, value, op=None):
        """Return the node that makes ``value``, or None; with ``op``, only if it is such a node."""
        if self._producers is None:
            self._index()
        node = self._producers.get(value)
        return node if node is not None and op in (None, node.op) else None

    def consumers(self, value):
        """Return the nodes that read ``value``, one entry for each time they do."""
        if self._consumers is None:
            self._index()
        return self._consumers.get(value, [])

    def only_feeds(self, value, node):
        """Return whether ``node`` is the one reader of ``value``, which is then free to change."""
        return self.consumers(value) == [node] and value not in self.outputs

    def shapes(self):
        """Return {value: static shape} as far as ONNX can infer it; a dimension that is not known is 0."""
        model = onnx.shape_inference.infer_shapes(self.to_model())
        found = {name: array.shape for name, array in self.constants.items()}
        for info in [*model.graph.input, *model.graph.value_info, *model.graph.output]:
            if info.type.tensor_type.HasField("shape"):
                found[info.name] = tuple(d.dim_value for d in info.type.tensor_type.shape.dim)
        return found

    def constant(self, array, like):
        """Add a constant named after the value ``like``; return its name."""
        number = 0
        while (name := f"{like}~{number}") in self.constants:
            number += 1
        self.constants[name] = np.array(array, order="C")
        return name

    def bypass(self, node):
        """Let the readers of ``node`` read its first input instead; return whether that was possible."""
        source, value = node.inputs[0], node.outputs[0]
        if value in self.outputs:
            # an output must be made by a node, and by one that makes no other output
            if self.producer(source) is None or source in self.outputs:
                return False
            self.outputs[self.outputs.index(value)] = source
            self.types[source] = self.types.pop(value)
            self.types[source].name = source
        for reader in self.consumers(value):
            reader.inputs = [source if i == value else i for i in reader.inputs]
        self.nodes.remove(node)
        self.touch()
        return True

    def to_model(self):
        """Return the ONNX model; each node's ``doc_string`` holds its origin."""
        graph = helper.make_graph(
            [helper.make_node(n.op, n.inputs, n.outputs, n.outputs[0], n.origin, **n.attrs) for n in self.nodes],
            "graph",
            self.inputs,
            [self.types[name] for name in self.outputs],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=7)


def _node(proto):
    """Return the :class:`Node` of an ONNX NodeProto; a foreign domain stays visible in its op."""
    attrs = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
    attrs = {k: v.decode() if isinstance(v, bytes) else v for k, v in attrs.items()}
    op = proto.op_type if proto.domain in ("", "ai.onnx") else f"{proto.domain}::{proto.op_type}"
    return Node(op, list(proto.input), list(proto.output), attrs, proto.doc_string or proto.name)
