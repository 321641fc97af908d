"""Load an untrusted ONNX file: sizes in it are checked, and paths in it must stay in its folder."""

import math
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto

from cvsr.errors import ModelError

OPSETS = range(7, 23)  # since 7, arithmetic broadcasts as it does today; 22 is the newest that PyTorch writes
LARGEST = 2**31 - 1  # bytes: the limit of protobuf, and so of all later steps
DEPTH = 8  # of nested graphs
# (bytes per element, field that holds the elements if there is no raw data)
KINDS = {
    TensorProto.FLOAT: (4, "float_data"), TensorProto.DOUBLE: (8, "double_data"), TensorProto.INT64: (8, "int64_data"),
    TensorProto.UINT64: (8, "uint64_data"), TensorProto.UINT32: (4, "uint64_data"),
    TensorProto.INT32: (4, "int32_data"), TensorProto.INT16: (2, "int32_data"), TensorProto.UINT16: (2, "int32_data"),
    TensorProto.INT8: (1, "int32_data"), TensorProto.UINT8: (1, "int32_data"), TensorProto.BOOL: (1, "int32_data"),
    TensorProto.FLOAT16: (2, "int32_data"), TensorProto.BFLOAT16: (2, "int32_data"),
}  # fmt: skip


def load(path):
    """Return the ONNX model in the file ``path``, including weights in external files; raise ModelError.

    The model is valid ONNX and has only standard operators and a supported opset.
    """
    path = Path(path)
    if path.stat().st_size > LARGEST:
        raise ModelError(f"{path.name} is larger than 2 GiB, the limit for an ONNX file")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError:
        raise ModelError(f"{path.name} is not an ONNX file, or is damaged; download or export it again") from None
    check(model, path.parent)
    return model


def check(model, folder=None):
    """Raise ModelError if a model is invalid or not supported; read external weights from ``folder``."""
    if not model.graph.node:
        raise ModelError("the file contains no ONNX graph; export the model again")
    _check_operations(model)
    _check_weights(model, folder)
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # ValidationError, but also ValueError, TypeError and RuntimeError
        raise ModelError(f"the file is not valid ONNX: {one_line(error)}; export the model again") from None


def opset(model):
    """Return the version of the standard opset that a model uses, or 0."""
    return next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)


def graphs(graph, depth=0):
    """Yield a graph and all graphs nested in it."""
    if depth > DEPTH:
        raise ModelError(f"the file nests graphs more than {DEPTH} deep; export the model without control flow")
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from graphs(inner, depth + 1)


def place(node):
    """Return how messages name a node: by its name in the user's model and its operator."""
    return f"layer {node.name or (node.output[0] if node.output else '')!r} ({node.op_type})"


def one_line(error, length=300):
    """Return a framework's error message on one line."""
    return " ".join(str(error).split())[:length]


def _check_operations(model):
    if model.functions:
        names = ", ".join(sorted({f"{f.domain}::{f.name}" for f in model.functions})[:5])
        raise ModelError(f"the file defines custom functions ({names}); inline them (onnx.inliner) and try again")
    if (version := opset(model)) not in OPSETS:
        what = f"uses opset {version}" if version else "does not state its opset"
        raise ModelError(f"the file {what}; opsets {OPSETS[0]} to {OPSETS[-1]} are supported: export it with opset 17")
    for graph in graphs(model.graph):
        for node in graph.node:
            if node.domain not in ("", "ai.onnx"):
                raise ModelError(
                    f"{place(node)} is not a standard ONNX operator but one of {node.domain!r}; export the model with "
                    "standard operators only"
                )


def _check_weights(model, folder):
    total = 0
    for graph in graphs(model.graph):
        if graph.sparse_initializer:
            raise ModelError("the file contains sparse weights, which are not supported; export it with dense weights")
        constants = [a for node in graph.node for a in node.attribute]
        tensors = [*graph.initializer, *(a.t for a in constants if a.HasField("t"))]
        tensors += [tensor for a in constants for tensor in a.tensors]
        for tensor in tensors:
            total += _check_tensor(tensor, folder)
            if total > LARGEST:
                raise ModelError("the weights exceed 2 GiB in total, the limit for conversion")


def _check_tensor(tensor, folder):
    """Raise ModelError unless a tensor holds as many elements as its shape says; return its size in bytes."""
    if tensor.data_type not in KINDS:
        kind = TensorProto.DataType.Name(tensor.data_type) if tensor.data_type in TensorProto.DataType.values() else "?"
        raise ModelError(f"the weight {tensor.name!r} has the type {kind}, which is not supported")
    if any(n < 0 for n in tensor.dims):
        raise ModelError(f"the weight {tensor.name!r} has the invalid shape {list(tensor.dims)}: the file is damaged")
    width, field = KINDS[tensor.data_type]
    count = math.prod(tensor.dims)
    if tensor.data_location == TensorProto.EXTERNAL:
        _read_external(tensor, folder, count * width)
    elif tensor.HasField("raw_data"):
        _compare(tensor, len(tensor.raw_data), count * width)
    else:
        _compare(tensor, len(getattr(tensor, field)) * width, count * width)
    return count * width


def _compare(tensor, has, needs):
    if has != needs:
        raise ModelError(
            f"the weight {tensor.name!r} of shape {list(tensor.dims)} needs {needs} bytes but has {has}: "
            "the file is truncated or damaged; download or export it again"
        )


def _read_external(tensor, folder, needs):
    """Load the tensor's bytes from another file in the same folder."""
    facts = {entry.key: entry.value for entry in tensor.external_data}
    location = facts.get("location", "")
    file = Path(folder or "", location)
    if folder is None or not location or not file.resolve().is_relative_to(Path(folder).resolve()):
        raise ModelError(f"the weight {tensor.name!r} is stored in {location!r}, which must be in the model's folder")
    if not file.is_file():
        raise ModelError(f"the weights are stored in {location}, which is missing; put it beside the model")
    try:
        offset = int(facts.get("offset", 0))
        length = int(facts.get("length", needs))
    except ValueError:
        raise ModelError(f"the weight {tensor.name!r} has an invalid offset or length in {location}") from None
    size = file.stat().st_size
    if offset < 0 or offset + length > size:
        raise ModelError(f"{location} has {size} bytes, too few for the weight {tensor.name!r}: it is truncated")
    _compare(tensor, length, needs)
    with file.open("rb") as stream:
        stream.seek(offset)
        tensor.raw_data = stream.read(length)
    tensor.ClearField("external_data")
    tensor.data_location = TensorProto.DEFAULT
