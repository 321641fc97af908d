"""Bring an ONNX graph to 32-bit floats and to channels first, whatever it was stored in."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cvsr_converters.passes.graph import Node
from cvsr_converters.sources.onnx.file import graphs

HALF = frozenset({TensorProto.FLOAT16, TensorProto.BFLOAT16})
TO_FIRST, TO_LAST = [0, 3, 1, 2], [0, 2, 3, 1]  # the perm of a Transpose to (N,C,H,W), and to (N,H,W,C)


def as_float(model, kinds):
    """Return the model with 32-bit floats in place of the ``kinds``, in inputs, outputs, weights and casts."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    for graph in graphs(model.graph):
        del graph.value_info[:]
        for info in [*graph.input, *graph.output]:
            if info.type.tensor_type.elem_type in kinds:
                info.type.tensor_type.elem_type = TensorProto.FLOAT
        for tensor in graph.initializer:
            _widen(tensor, kinds)
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    _widen(attribute.t, kinds)
                elif attribute.name in ("to", "dtype") and attribute.i in kinds:
                    attribute.i = TensorProto.FLOAT
    return model


def has(model, kinds):
    """Return whether a model has weights, inputs or casts of these ``kinds``."""
    return as_float(model, kinds).SerializeToString() != as_float(model, frozenset()).SerializeToString()


def _widen(tensor, kinds):
    if tensor.data_type in kinds:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))


def without_bytes(model):
    """Return (model, what was dropped) with floats in place of 8-bit inputs and outputs.

    A pixel's value stays what it is, 0 to 255. At the output the rounding goes with the cast: whoever writes the
    picture rounds it.
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph, dropped = model.graph, []
    for info in graph.input:
        if info.type.tensor_type.elem_type == TensorProto.UINT8:
            info.type.tensor_type.elem_type = TensorProto.FLOAT
            dropped.append(f"the input {info.name!r} takes 8-bit numbers: the converted file takes floats of 0 to 255")
    makers = {name: node for node in graph.node for name in node.output}
    for info in graph.output:
        if info.type.tensor_type.elem_type != TensorProto.UINT8:
            continue
        if not _drop_cast(makers, info.name):
            continue  # something else than a cast makes bytes of it: the check of the operations names that
        info.type.tensor_type.elem_type = TensorProto.FLOAT
        dropped.append(f"the output {info.name!r} is rounded to 8-bit numbers: the converted file gives floats")
    del graph.value_info[:]
    return model, dropped


def _drop_cast(makers, name):
    """Make an Identity of the Cast to bytes that ends in the value ``name``, and of the Round before it."""
    node = makers.get(name)
    while node is not None and node.op_type in ("Transpose", "Identity", "Reshape"):
        node = makers.get(node.input[0])
    if node is None or node.op_type != "Cast":
        return False
    before = makers.get(node.input[0])
    for one in [node, before] if before is not None and before.op_type == "Round" else [node]:
        one.op_type = "Identity"
        one.ClearField("attribute")
    return True


def channels_first(graph, names):
    """Put a Transpose to (N,C,H,W) at those inputs and outputs of a passes' Graph, by ``names``, that are (N,H,W,C)."""
    for info in [i for i in graph.inputs if i.name in names]:
        last, info.name = info.name, f"{info.name}~first"
        _permute(info, TO_FIRST)
        graph.nodes.insert(0, Node("Transpose", [info.name], [last], {"perm": TO_LAST}, last))
    for last in [name for name in graph.outputs if name in names]:
        first = f"{last}~first"
        graph.nodes.append(Node("Transpose", [last], [first], {"perm": TO_FIRST}, last))
        graph.outputs[graph.outputs.index(last)] = first
        graph.types[first] = graph.types.pop(last)
        graph.types[first].name = first
        _permute(graph.types[first], TO_FIRST)
    graph.touch()


def _permute(info, perm):
    tensor = info.type.tensor_type
    if tensor.HasField("shape"):
        dims = [d.dim_value for d in tensor.shape.dim]
        info.CopyFrom(helper.make_tensor_value_info(info.name, tensor.elem_type, [dims[axis] for axis in perm]))
