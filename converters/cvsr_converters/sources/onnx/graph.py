"""An ONNX model of any opset, type and layout → its graph at one size, as tracing an Original needs it."""

import onnx
from onnx import TensorProto

from cvsr.errors import ModelError
from cvsr_converters.sources.onnx.opset import to_opset
from cvsr_converters.sources.onnx.run import static
from cvsr_converters.sources.onnx.types import HALF, as_float, channels_first


def at_size(model, dims, *, last=()):
    """Return the model for inputs of exactly these dimensions: opset 13, 32-bit floats, (1, C, H, W).

    ``last`` names the channels-last inputs and outputs; ``dims`` are in the model's own order. Each
    node's ``doc_string`` is its name in ``model``. Raises ModelError.
    """
    fixed = as_float(static(model, dims), HALF | {TensorProto.DOUBLE})
    for node in fixed.graph.node:
        node.doc_string = node.name or next(iter(node.output), "")
    graph = to_opset(fixed)
    for name in graph.outputs:
        if name in graph.constants:
            raise ModelError(f"the output {name!r} is the same for every image: choose another output")
    channels_first(graph, last)
    result = onnx.shape_inference.infer_shapes(graph.to_model())
    del result.graph.value_info[:]
    for info in result.graph.output:
        if len(info.type.tensor_type.shape.dim) != 4:
            raise ModelError(f"the output {info.name!r} does not have four axes: choose another output")
    return result
