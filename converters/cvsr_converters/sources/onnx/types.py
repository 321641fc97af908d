"""Convert an ONNX graph to 32-bit floats and channels first."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cvsr_converters.passes.graph import Node
from cvsr_converters.sources.onnx.file import graphs

HALF = frozenset({TensorProto.FLOAT16, TensorProto.BFLOAT16})
TO_FIRST, TO_LAST = [0, 3, 1, 2], [0, 2, 3, 1]  # the perm of a Transpose to (N,C,H,W), and to (N,H,W,C)


def as_float(model, kinds):
    """Return the model with 32-bit floats instead of the types ``kinds``, in inputs, outputs, weights and casts."""
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
    """Return whether a model has weights, inputs or casts of the types ``kinds``."""
    return as_float(model, kinds).SerializeToString() != as_float(model, frozenset()).SerializeToString()


def _widen(tensor, kinds):
    if tensor.data_type in kinds:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))


def without_bytes(model):
    """Return (model, what was dropped) with floats instead of 8-bit inputs and outputs.

    Pixel values remain 0 to 255. The rounding at the output is dropped with the cast: it is done when the image is
    written.
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph, dropped = model.graph, []
    for info in graph.input:
        if info.type.tensor_type.elem_type == TensorProto.UINT8:
            info.type.tensor_type.elem_type = TensorProto.FLOAT
            dropped.append(f"the input {info.name!r} is uint8: the converted file expects floats of 0 to 255")
    makers = {name: node for node in graph.node for name in node.output}
    for info in graph.output:
        if info.type.tensor_type.elem_type != TensorProto.UINT8:
            continue
        if not _drop_cast(makers, info.name):
            continue  # something other than a cast produces bytes: the operator check reports it
        info.type.tensor_type.elem_type = TensorProto.FLOAT
        dropped.append(f"the output {info.name!r} is rounded to uint8: the converted file returns floats")
    del graph.value_info[:]
    return model, dropped


def _drop_cast(makers, name):
    """Replace the Cast to bytes that produces the value ``name``, and a Round before it, with Identity."""
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
    """Make the (N,H,W,C) inputs and outputs of a passes' Graph that are in ``names`` (N,C,H,W), with Transposes."""
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
