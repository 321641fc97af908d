"""Read an untrusted TensorFlow GraphDef, prune it to what the outputs need, and check the rest.

A graph is a dict of NodeDefs by name. Tensors are named as in GraphDef: "node" for its first output, "node:1" …
"""

import math
import re

from google.protobuf.message import DecodeError
from tensorflow.core.framework import node_def_pb2, types_pb2
from tensorflow.python.framework import tensor_util
from tensorflow.python.framework.dtypes import as_dtype

from cvsr.errors import ModelError
from cvsr.modelfiles import protobuf
from cvsr_converters.sources import safe_ops

_RANDOM = re.compile(r"^(Stateless)?(Random(Uniform|StandardNormal)|TruncatedNormal)(V2)?$")
_LOOPS = {"Enter", "RefEnter", "Exit", "RefExit", "NextIteration", "RefNextIteration", "LoopCond"}
PLACEHOLDERS = ("Placeholder", "PlaceholderV2", "PlaceholderWithDefault")
PRODUCER = 27  # the last version before rules that TensorFlow 1 graphs need not follow
_MAX_FILL = 1 << 26  # elements of constants that repeat one number, which take no space in a file


def parse(kind, data, path):
    """Return the protobuf message of type ``kind`` in the bytes ``data``; raise ModelError if it is broken."""
    try:
        for _ in protobuf.fields(data):  # checks that lengths fit the file
            pass
        return kind.FromString(data)
    except (DecodeError, ModelError) as error:
        raise ModelError(f"{path} is truncated or broken: {error}") from error


def split(tensor):
    """Return (node, index) of a tensor's name; the index of a control input is None."""
    if tensor.startswith("^"):
        return tensor[1:], None
    name, _, index = tensor.partition(":")
    return name, int(index) if index.isdigit() else 0


def join(name, index):
    """Return the name of a node's output in a GraphDef."""
    return name if index == 0 else f"{name}:{index}"


def by_name(graph_def):
    """Return the nodes by name, as copies, without devices, colocation and the shapes seen in training."""
    nodes = {}
    for node in graph_def.node:
        copy = node_def_pb2.NodeDef.FromString(node.SerializeToString())
        copy.device = ""
        copy.attr.pop("_class", None)
        copy.attr.pop("_output_shapes", None)
        # before version 24, a shape without dims meant an unknown shape, not a scalar
        if node.op in PLACEHOLDERS and ("shape" not in node.attr or graph_def.versions.producer < 24):
            shape = copy.attr["shape"].shape
            shape.unknown_rank |= not shape.dim
        nodes[node.name] = copy
    return nodes


def is_image(node):
    """Return whether a placeholder may be an image: float32, of rank 4 or unknown rank."""
    shape = node.attr["shape"].shape
    return node.attr["dtype"].type == types_pb2.DT_FLOAT and (shape.unknown_rank or len(shape.dim) == 4)


def order(nodes, tensors, control=False):
    """Return the nodes that ``tensors`` need, by name, each after its inputs; ``control`` follows control inputs too.

    Raises ModelError if a node is missing.
    """
    done, waiting = {}, [(split(tensor)[0], "") for tensor in reversed(tensors)]
    opened = set()
    while waiting:
        name, reader = waiting[-1]
        if name not in nodes:
            raise ModelError(
                f"the graph is incomplete: there is no node {name!r}, which {reader or 'the output'} needs"
            )
        if name in done or name in opened:
            waiting.pop()
            done.setdefault(name, nodes[name])
            continue
        opened.add(name)
        for tensor in reversed(nodes[name].input):
            parent, index = split(tensor)
            if (control or index is not None) and parent not in opened:
                waiting.append((parent, name))
    return done


def prune(nodes, tensors):
    """Return the nodes that compute ``tensors``, without control inputs, which only serve training and assertions."""
    kept = order(nodes, tensors)
    for node in kept.values():
        inputs = [tensor for tensor in node.input if not tensor.startswith("^")]
        del node.input[:]
        node.input.extend(inputs)
    return kept


def ends(nodes):
    """Return the nodes that no other node reads, except those that compute nothing."""
    read = {split(tensor)[0] for node in nodes.values() for tensor in node.input}
    idle = {"Const", "NoOp", "Assert", *PLACEHOLDERS}
    return [name for name, node in nodes.items() if name not in read and node.op not in idle]


def constant(name, array, dtype=None):
    """Return a Const node."""
    tensor = tensor_util.make_tensor_proto(array, dtype=dtype)
    node = node_def_pb2.NodeDef(name=name, op="Const")
    node.attr["dtype"].type = tensor.dtype
    node.attr["value"].tensor.CopyFrom(tensor)
    return node


def become(node, op, inputs, dtype=None):
    """Make ``node`` an ``op`` of one element type with these inputs."""
    dtype = dtype if dtype is not None else node.attr["T"].type
    node.op = op
    del node.input[:]
    node.input.extend(inputs)
    node.attr.clear()
    node.attr["T"].type = dtype


def is_random(node):
    """Return whether a node generates random floats."""
    return bool(_RANDOM.match(node.op))


def check(nodes, library, trust=False):
    """Raise ModelError for nodes that no image network needs: files, Python, state, loops, unknown operations.

    ``library`` is the GraphDef's; its functions are checked if nodes call them. The sizes of constants are checked too.
    """
    functions = {function.signature.name: function for function in library.function}
    waiting, seen, filled = list(nodes.values()), set(), 0
    while waiting:
        node = waiting.pop()
        if node.op == "Const":
            filled += _fill(node)
            if filled > _MAX_FILL:
                raise ModelError(f"node {node.name!r} is a constant far larger than the file: the file is broken")
        elif node.op in _LOOPS:
            raise ModelError(
                f"node {node.name!r} ({node.op}) belongs to a loop, which OpenCV cannot run: unroll it, or choose "
                "other outputs"
            )
        elif node.op not in functions:
            safe_ops.check([node], trust)
        for called in _called(node) & functions.keys() - seen:
            seen.add(called)
            waiting.extend(functions[called].node_def)


def _called(node):
    values = node.attr.values()
    names = {value.func.name for value in values} | {func.name for value in values for func in value.list.func}
    return names | {node.op}


def _fill(node):
    """Return how many elements a constant has beyond those in the file; raise ModelError if its sizes disagree."""
    tensor = node.attr["value"].tensor
    dims = [dim.size for dim in tensor.tensor_shape.dim]
    try:
        size = as_dtype(tensor.dtype).size
    except TypeError:
        size = 0
    if not size or tensor.tensor_shape.unknown_rank or min(dims, default=0) < 0:
        raise ModelError(f"node {node.name!r} is not a valid constant: the file is broken")
    count = math.prod(dims)
    if not tensor.tensor_content:
        return count
    if len(tensor.tensor_content) != count * size:
        raise ModelError(
            f"node {node.name!r} is a constant of shape {dims} but has {len(tensor.tensor_content)} bytes: the file "
            "is broken"
        )
    return 0
