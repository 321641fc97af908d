"""Convert a graph of any opset to the opset that the passes use.

Most operators that differ in other opsets only accept more or fewer types. Those with a different meaning are rewritten
in opset 13 by a function in ``adapters.py``. Other operators that differ are refused by name.
"""

import onnx

from cvsr.errors import ModelError
from cvsr_converters.passes.graph import OPSET, Graph
from cvsr_converters.sources.onnx.adapters import ADAPT, Writer
from cvsr_converters.sources.onnx.file import opset

# From opset 7 to 22, these only changed the types that they accept, or were extended.
SAME = frozenset({
    "Abs", "Acos", "Acosh", "Add", "ArgMax", "ArgMin", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Concat", "Constant",
    "ConstantOfShape", "Conv", "ConvTranspose", "Cos", "Cosh", "CumSum", "DepthToSpace", "DequantizeLinear", "Div",
    "Elu", "Equal", "Erf", "Exp", "Expand", "EyeLike", "Flatten", "Floor", "Gather", "GatherElements", "Gemm",
    "GlobalAveragePool", "GlobalMaxPool", "Greater", "GreaterOrEqual", "HardSigmoid", "Identity",
    "InstanceNormalization", "IsInf", "IsNaN", "LRN", "LeakyRelu", "Less", "LessOrEqual", "Log", "LpNormalization",
    "MatMul", "Max", "MaxPool", "Mean", "MeanVarianceNormalization", "Min", "Mod", "Mul", "Neg", "PRelu", "Pow",
    "QuantizeLinear", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Reciprocal", "Relu",
    "Round", "Selu", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "SpaceToDepth", "Sqrt", "Sub", "Sum",
    "Tan", "Tanh", "ThresholdedRelu", "Tile", "TopK", "Transpose", "Where",
})  # fmt: skip


def to_opset(model):
    """Return the passes' :class:`Graph` of an ONNX model without shape arithmetic; raise ModelError."""
    version = opset(model)
    graph = Graph(model)
    shapes = _shapes(model) | {name: array.shape for name, array in graph.constants.items()}
    nodes = []
    for node in graph.nodes:
        adapt = ADAPT.get(node.op)
        if adapt is not None:
            writer = Writer(graph, node, shapes, version)
            adapt(writer, node)
            nodes += writer.nodes
        elif node.op not in SAME and _since(node.op, version) != _since(node.op, OPSET):
            raise ModelError(
                f"layer {node.origin!r}: the operator {node.op} of opset {version} does not exist in opset {OPSET}, "
                "which OpenCV reads; export the model with opset 13, or use another layer instead"
            )
        else:
            nodes.append(node)
    graph.nodes = nodes
    graph.touch()
    return graph


def _shapes(model):
    found = {}
    inferred = onnx.shape_inference.infer_shapes(model).graph
    for info in [*inferred.input, *inferred.value_info, *inferred.output]:
        if info.type.tensor_type.HasField("shape"):
            found[info.name] = tuple(d.dim_value for d in info.type.tensor_type.shape.dim)
    return found


def _since(op, version):
    try:
        return onnx.defs.get_schema(op, version).since_version
    except onnx.defs.SchemaError:
        return 0
