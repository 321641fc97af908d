"""The graph that the passes rewrite: an ONNX graph with nodes as Python objects and constants as numpy arrays."""

import copy
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper, numpy_helper

OPSET = 13  # OpenCV 4.6 reads it, and Unsqueeze, Split and the reductions take their axes in one way only
LAST, FIRST = [0, 3, 1, 2], [0, 2, 3, 1]  # Transposes from channels last to first, and back


@dataclass(eq=False)  # nodes are equal only if they are the same object
class Node:
    """One operation. ``origin``: the name of its layer in the user's model, for error messages."""

    op: str
    inputs: list
    outputs: list
    attrs: dict = field(default_factory=dict)
    origin: str = ""


class Graph:
    """A graph with one or more outputs. Values are names: of an input, of a constant or of a node's output.

    A pass that changes ``nodes``, or a node, calls :meth:`note` or :meth:`touch` afterwards, unless it only used the
    other methods below; ``changes`` counts all of these calls. A constant may have several readers, so a pass adds a
    new one and never changes one in place.
    """

    def __init__(self, model):
        graph = model.graph
        self.constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
        self.inputs = [copy.deepcopy(i) for i in graph.input if i.name not in self.constants]
        self.types = {o.name: copy.deepcopy(o) for o in graph.output}
        self.outputs = [o.name for o in graph.output]
        self.nodes = [_node(n) for n in graph.node]
        self._producers, self._consumers, self._noted = {}, defaultdict(list), {}
        self.changes = 0
        self.touch()

    def touch(self):
        """Discard everything derived from the nodes, because they have changed."""
        self.changes += 1
        self._indexed, self._inference = False, None

    def _index(self):
        self._producers, self._consumers, self._noted = {}, defaultdict(list), {}
        self._indexed = True
        for node in self.nodes:
            self._enter(node)

    def note(self, node):
        """Update the index for one node that is new or has changed: faster than :meth:`touch`."""
        self.changes += 1
        self._inference = None
        if self._indexed:
            self._enter(node)

    def _enter(self, node):
        for value in self._forget(node):
            self._producers.pop(value, None)
        self._producers.update((value, node) for value in node.outputs)
        for value in node.inputs:
            self._consumers[value].append(node)
        self._noted[node] = list(node.inputs), list(node.outputs)

    def _forget(self, node):
        """Remove a node from the index; return its outputs."""
        inputs, outputs = self._noted.pop(node, ([], []))
        for value in inputs:
            self._consumers[value].remove(node)
        return [value for value in outputs if self._producers.get(value) is node]

    def producer(self, value, op=None):
        """Return the node that makes ``value``, or None; with ``op``, only a node of that operator."""
        if not self._indexed:
            self._index()
        node = self._producers.get(value)
        return node if node is not None and op in (None, node.op) else None

    def consumers(self, value):
        """Return the nodes that read ``value``, one entry for each read."""
        if not self._indexed:
            self._index()
        return list(self._consumers.get(value, []))

    def only_feeds(self, value, node):
        """Return whether ``node`` is the only reader of ``value``, so that a pass may change it."""
        return self.consumers(value) == [node] and value not in self.outputs

    def select(self, *ops):
        """Return the nodes of the operators ``ops`` and, if there are any, :meth:`shapes`."""
        nodes = [node for node in self.nodes if node.op in ops]
        return nodes, self.shapes() if nodes else {}

    def shapes(self):
        """Return {value: static shape} as far as ONNX can infer it; an unknown dimension is 0."""
        return self._inferred()[0]

    def kinds(self):
        """Return {value: TensorProto number of its element type} as far as ONNX can infer it."""
        return self._inferred()[1]

    def _inferred(self):
        if self._inference is None:
            # of large constants only the shape matters: they are declared as inputs, which saves copying them
            large = {name for name, array in self.constants.items() if array.size > 64}
            model = onnx.shape_inference.infer_shapes(self.to_model(declared=large))
            shapes, kinds = {name: array.shape for name, array in self.constants.items()}, {}
            for info in [*model.graph.input, *model.graph.value_info, *model.graph.output]:
                kinds[info.name] = info.type.tensor_type.elem_type
                if info.type.tensor_type.HasField("shape"):
                    shapes[info.name] = tuple(d.dim_value for d in info.type.tensor_type.shape.dim)
            self._inference = shapes, kinds
        return self._inference

    def channels(self, value):
        """Return how many channels the 4-D ``value`` has, or 0 if unknown."""
        shape = self.shapes().get(value, ())
        return shape[1] if len(shape) == 4 else 0

    def array(self, node, place):
        """Return the constant that ``node`` reads at ``place``, or None if the input is absent or not constant."""
        return self.constants.get(node.inputs[place]) if place < len(node.inputs) and node.inputs[place] else None

    def constant(self, array, like):
        """Add a constant named after the value ``like``; return its name."""
        number = 0
        while (name := f"{like}~{number}") in self.constants:
            number += 1
        self.constants[name] = np.array(array, order="C")
        return name

    def add(self, before, op, inputs, attrs=None):
        """Insert a node before the node ``before``, with the same origin; return the name of its value."""
        number = 0
        while (name := f"{before.outputs[0]}~{op}{number}") in self.constants or self.producer(name):
            number += 1
        node = Node(op, list(inputs), [name], dict(attrs or {}), before.origin)
        self.nodes.insert(self.nodes.index(before), node)
        self.note(node)
        return name

    def become(self, node, op, inputs, attrs=None):
        """Turn ``node`` into another operation, whose result has the same name."""
        node.op, node.inputs, node.attrs = op, list(inputs), dict(attrs or {})
        self.note(node)

    def bypass(self, node):
        """Make the readers of ``node`` read its first input instead; return whether that was possible."""
        source, value = node.inputs[0], node.outputs[0]
        if value in self.outputs:
            # an output must be made by a node, and by one that makes no other output
            if self.producer(source) is None or source in self.outputs:
                return False
            self.outputs[self.outputs.index(value)] = source
            self.types[source] = self.types.pop(value)
            self.types[source].name = source
        self._inference = None
        self.changes += 1
        for reader in dict.fromkeys(self.consumers(value)):
            reader.inputs = [source if i == value else i for i in reader.inputs]
            self.note(reader)
        self.nodes.remove(node)
        for made in self._forget(node):
            del self._producers[made]
        return True

    def to_model(self, declared=()):
        """Return the ONNX model; each node's ``doc_string`` holds its origin.

        The constants in ``declared`` become inputs without a value.
        """
        types = {name: helper.np_dtype_to_tensor_dtype(self.constants[name].dtype) for name in declared}
        extra = [helper.make_tensor_value_info(n, types[n], self.constants[n].shape) for n in sorted(declared)]
        graph = helper.make_graph(
            [helper.make_node(n.op, n.inputs, n.outputs, n.outputs[0], n.origin, **n.attrs) for n in self.nodes],
            "graph",
            [*self.inputs, *extra],
            [self.types[name] for name in self.outputs],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items() if name not in types],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=7)


def per_channel(array):
    """Return a constant operand of a 4-D value as one number or one per channel, 1-D; None if it is neither."""
    if array is None or array.dtype != np.float32 or array.ndim > 4:
        return None
    if array.size == 1 or (array.ndim >= 3 and array.size == array.shape[-3]):
        return array.ravel()
    return None


def operand(numbers):
    """Return the numbers from :func:`per_channel` in the shape of an operand: (), or (1, C, 1, 1)."""
    numbers = np.asarray(numbers, np.float32)
    return numbers.reshape(()) if numbers.size == 1 else numbers.reshape(1, -1, 1, 1)


def _node(proto):
    """Return the :class:`Node` of an ONNX NodeProto; a nonstandard domain becomes a prefix of its op."""
    attrs = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
    attrs = {k: v.decode() if isinstance(v, bytes) else v for k, v in attrs.items()}
    op = proto.op_type if proto.domain in ("", "ai.onnx") else f"{proto.domain}::{proto.op_type}"
    return Node(op, list(proto.input), list(proto.output), attrs, proto.doc_string or proto.name)
