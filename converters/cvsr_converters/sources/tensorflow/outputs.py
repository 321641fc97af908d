"""Find the output of a network in its training graph, among losses, gradients, summaries and optimizers."""

import re

import tensorflow as tf
from tensorflow.core.framework import node_def_pb2

from cvsr.errors import ModelError
from cvsr_converters.sources import safe_ops
from cvsr_converters.sources.tensorflow import graphdef

_READERS = re.compile(r"^IteratorGetNext|^Queue.*Dequeue")
_TRAINING = re.compile(r"^(Apply|Assign|Scatter)|Grad|BackpropFilter|Summary")
_SCOPES = re.compile(r"(^|/)(gradients|save|losses|metrics|summaries)(_\d+)?(/|$)", re.IGNORECASE)
_SIZES = {"Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike"}  # they use only the shape of their input
_JOINS = {"Add", "AddV2", "AddN", "Concat", "ConcatV2"}


def open_readers(nodes):
    """Replace every float tensor from an iterator or queue with a placeholder; change ``nodes``."""
    renamed = {}
    for node in [node for node in nodes.values() if _READERS.search(node.op)]:
        types = node.attr["output_types"].list.type or node.attr["component_types"].list.type
        shapes = node.attr["output_shapes"].list.shape
        for number, kind in enumerate(types):
            if kind == tf.float32.as_datatype_enum:
                new = node_def_pb2.NodeDef(name=f"{node.name}/output{number}", op="Placeholder")
                new.attr["dtype"].type = kind
                new.attr["shape"].shape.unknown_rank = True
                if number < len(shapes):
                    new.attr["shape"].shape.CopyFrom(shapes[number])
                nodes[new.name] = new
                renamed[graphdef.join(node.name, number)] = new.name
    for node in nodes.values():
        inputs = [renamed.get(tensor, tensor) for tensor in node.input]
        del node.input[:]
        node.input.extend(inputs)


def guess(nodes, library, weights):
    """Return the one tensor that is the network's output; ``weights`` are the nodes of the restored variables.

    It is the last image computed from an image and weights, but not from images that the result is only compared with,
    nor by training operations. Raises ModelError, with the candidates, if it is not unique.
    """
    names = _Forward(nodes, weights).candidates()
    ends = _ends(nodes, names, _shapes(nodes, library, names))
    if len(ends) == 1:
        return ends[0]
    if ends:
        raise ModelError(f"the network may end in any of these: {', '.join(ends[:10])}; choose one with --outputs")
    raise ModelError(
        "no output computed from an image and the checkpoint's weights was found; choose one with --outputs"
        + (f", such as: {', '.join(names[-5:])}" if names else "")
    )


class _Forward:
    """What each node of a training graph depends on."""

    def __init__(self, nodes, weights):
        self.weights = weights
        self.ordered = graphdef.order(nodes, list(nodes))
        self.images, self.weighted, self.training = {}, set(), set()
        for name, node in self.ordered.items():
            self._visit(name, node)
        self.labels = {name for name in self.images if self.images[name] == {name} and not self._is_read(name)}

    def _visit(self, name, node):
        parents = {graphdef.split(tensor)[0] for tensor in node.input if not tensor.startswith("^")}
        if node.op in _SIZES:
            parents = set()
        if node.op in graphdef.PLACEHOLDERS and graphdef.is_image(node):
            self.images[name] = frozenset({name})
        else:
            self.images[name] = frozenset().union(*(self.images.get(parent, ()) for parent in parents))
        if name in self.weights or parents & self.weighted:
            self.weighted.add(name)
        outside = _TRAINING.search(node.op) or _SCOPES.search(name) or safe_ops.danger(node.op)
        if outside or parents & self.training:
            self.training.add(name)

    def _is_read(self, image):
        """Return whether the network reads this image, unlike one that its result is only compared with."""
        for name, node in self.ordered.items():
            if image not in self.images[name] or name in self.training:
                continue
            parents = {graphdef.split(tensor)[0] for tensor in node.input if not tensor.startswith("^")}
            meets = any(p in self.weighted and image not in self.images[p] for p in parents)
            pure = any(self.images[p] == {image} and p not in self.weighted for p in parents)
            by_weights = all(not self.images[p] for p in parents & self.weighted)
            if pure and meets and (by_weights or node.op in _JOINS):
                return True
        return False

    def candidates(self):
        """Return the nodes that may be the network or a part of it."""
        return [
            name
            for name in self.ordered
            if name in self.weighted - self.training and self.images[name] and not self.images[name] & self.labels
        ]


def _shapes(nodes, library, names):
    """Return {name: TensorShape} of each node whose first output is float32, without running anything."""
    part = {name: node_def_pb2.NodeDef.FromString(node.SerializeToString()) for name, node in nodes.items()}
    graph_def = tf.compat.v1.GraphDef(node=graphdef.prune(part, names).values(), library=library)
    graph_def.versions.producer = graphdef.PRODUCER
    with tf.Graph().as_default() as graph:
        try:
            tf.graph_util.import_graph_def(graph_def, name="")
        except (ValueError, TypeError, tf.errors.OpError) as error:
            raise ModelError(f"the graph is broken: {error}; choose the outputs with --outputs") from error
        tensors = {name: graph.get_operation_by_name(name).outputs for name in names}
    return {name: made[0].shape for name, made in tensors.items() if made and made[0].dtype.base_dtype == tf.float32}


def _ends(nodes, names, shapes):
    """Return those of ``names`` that are images and that no other image is computed from.

    If some of these are not read at all, they are meant to be outputs, and only they are returned.
    """
    images = [name for name in names if name in shapes and _is_image(shapes[name])]
    used = {graphdef.split(tensor)[0] for name in images for tensor in nodes[name].input}
    ends = [name for name in images if name not in used]
    before = {name: graphdef.order(nodes, [name]).keys() for name in ends}
    ends = [name for name in ends if not any(name in before[other] for other in ends if other != name)]
    unread = set(graphdef.ends(nodes))
    return [name for name in ends if name in unread] or ends


def _is_image(shape):
    return shape.rank is None or (shape.rank == 4 and (shape[3] in (1, 3, 4, None) or shape[1] in (1, 3, 4)))
