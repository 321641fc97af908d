"""What a network costs: multiplications, counted from its ONNX file."""

import math

import onnx
from onnx import shape_inference

from cvsr.modelfiles import float16

SIDE = 48  # pixels of the input; a multiple of all that networks ask for


def multiplications(data, scale):
    """Return the multiply-accumulates of all convolutions for each pixel of the enlarged image, once per channel.

    ``data``: the bytes of a model file whose ``scale`` is given. Activations, sums and what the host does do not count.
    """
    model = onnx.load_from_string(float16.expanded(data))
    enlarged = "bicubic" in {one.key: one.value for one in model.metadata_props}.get("cvsr.inputs", "")
    for number, value in enumerate(model.graph.input):
        side = SIDE * (scale if enlarged and number == len(model.graph.input) - 1 else 1)
        for axis in (2, 3):
            value.type.tensor_type.shape.dim[axis].dim_value = side
    for value in [*model.graph.output, *model.graph.value_info]:
        value.type.tensor_type.ClearField("shape")
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {
        value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in [*graph.input, *graph.output, *graph.value_info]
    }
    weights = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    total = 0
    for node in graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            # each weight meets every pixel of the result, or, where it is transposed, of the input
            side = node.output[0] if node.op_type == "Conv" else node.input[0]
            total += math.prod(weights[node.input[1]]) * math.prod(shapes[side][2:])
    return total / (SIDE * scale) ** 2
