"""The variables of a TensorFlow 1 graph, and their values in a checkpoint."""

import tensorflow as tf
from tensorflow.core.framework import types_pb2

from cvsr.errors import ModelError
from cvsr_converters.sources.tensorflow import bundle, graphdef

_VARIABLES = {"Variable", "VariableV2", "VarHandleOp"}
_REFS = {"RefIdentity": "Identity", "RefSwitch": "Switch", "RefMerge": "Merge"}


def restored(nodes, restore, known):
    """Return {variable's node: its name in the checkpoint} of the variables that ``restore``, the Saver's node, sets.

    If the graph has no such node, variables are looked up by name. ``known`` are those in the checkpoint.
    """
    found = {}
    if restore in nodes:
        for node in graphdef.order(nodes, [restore], control=True).values():
            if node.op in ("Assign", "AssignVariableOp") and len(node.input) > 1:
                found[graphdef.split(node.input[0])[0]] = _restored_name(nodes, node.input[1])
    else:
        for name, node in nodes.items():
            if node.op in _VARIABLES:
                found[name] = node.attr["shared_name"].s.decode("utf-8", "replace") or name
    return {name: key for name, key in found.items() if key in known and nodes[name].op in _VARIABLES}


def _restored_name(nodes, tensor):
    """Return which entry of the checkpoint ``tensor`` is, or None if it comes from elsewhere."""
    name, index = graphdef.split(tensor)
    while name in nodes and nodes[name].op == "Identity" and nodes[name].input:
        name, index = graphdef.split(nodes[name].input[0])
    node = nodes.get(name)
    if node is None or node.op != "RestoreV2" or len(node.input) != 3:
        return None
    entries = nodes.get(graphdef.split(node.input[1])[0])
    names = entries.attr["value"].tensor.string_val if entries is not None else []
    return names[index].decode("utf-8", "replace") if index is not None and index < len(names) else None


def freeze(nodes, outputs, reader, found):
    """Turn the variables that ``outputs`` need into constants; change ``nodes``. Raises ModelError if one is missing.

    ``found`` is what :func:`restored` returned.
    """
    handles = {}  # the type of the variable that a node refers to
    for name, node in graphdef.order(nodes, outputs).items():
        if node.op in _VARIABLES:
            handles[name] = node.attr["dtype"].type
            node.CopyFrom(graphdef.constant(name, _value(node, reader, found)))
        elif node.op == "ReadVariableOp":
            graphdef.become(node, "Identity", node.input[:1], node.attr["dtype"].type)
        elif node.op in _REFS:
            node.op = _REFS[node.op]
        elif "T" in node.attr and node.attr["T"].type == types_pb2.DT_RESOURCE:
            handles[name] = node.attr["T"].type = handles.get(graphdef.split(node.input[0])[0], types_pb2.DT_RESOURCE)


def _value(node, reader, found):
    if node.name not in found:
        raise ModelError(f"the checkpoint has no value for the variable {node.name!r}, which the outputs need")
    value = bundle.value(reader, found[node.name])
    shape = [dim.size for dim in node.attr["shape"].shape.dim]
    if list(value.shape) != shape or tf.as_dtype(value.dtype).as_datatype_enum != node.attr["dtype"].type:
        raise ModelError(
            f"the variable {node.name!r} is {shape} in the graph and {list(value.shape)} in the checkpoint: the files "
            "do not belong together, or the variable is partitioned, which is not supported"
        )
    return value
