"""Which ONNX operations OpenCV loads and computes right, from 4.6 to 5.0 and on both engines of 5.0."""

from __future__ import annotations

from cvsr.errors import ModelError

# Tried, each of them, on 4.6.0, 4.8.1, 4.14.0 and 5.0.0 with both engines, at changing sizes. That an operation is here
# does not mean that all of its options work (AveragePool that counts the padding does not): verification decides.
SINCE_4_6 = frozenset({
    "Abs", "Add", "AveragePool", "BatchNormalization", "Concat", "Conv", "ConvTranspose", "Div", "Elu", "Erf", "Exp",
    "Floor", "GlobalAveragePool", "HardSigmoid", "LeakyRelu", "Log", "Max", "MaxPool", "Min", "Mul", "Neg", "PRelu",
    "Pad", "Pow", "Reciprocal", "Relu", "Resize", "Selu", "Sigmoid", "Slice", "Softmax", "Softplus", "Softsign",
    "Split", "Sqrt", "Sub", "Tanh", "Transpose",
})  # fmt: skip
SINCE_4_8 = SINCE_4_6 | {"Clip"}
ALLOWED = {"4.6": SINCE_4_6, "4.8": SINCE_4_8}

# What to do about some others; the name of the layer stands before it in the message.
ADVICE = {
    "Clip": "leave the limits to the host, which limits pixels anyway, or ask for OpenCV 4.8 as the oldest",
    "DepthToSpace": "its number of input channels must be known; give the convolution before it a fixed one",
    "Erfc": "use relu, swish or another activation in place of gelu",
    "Reshape": "use a convolution, a transpose or a pixel shuffle (tf.nn.depth_to_space), which take any size",
    "StatefulPartitionedCall": "a nested tf.function that TensorFlow does not inline; remove jit_compile=True",
}


def check(model, oldest="4.8"):
    """Raise ModelError, naming the layers, if the ONNX model has an operation that OpenCV ``oldest`` does not run.

    ``oldest`` is "4.6" (Debian 12) or "4.8"; all later ones run what these do.
    """
    found = [node for node in model.graph.node if node.op_type not in ALLOWED[oldest]]
    if found:
        raise ModelError("\n".join(_line(node, oldest) for node in found[:5]))


def _line(node, oldest):
    op, layer = node.op_type.rpartition("::")[2], node.doc_string or node.name
    advice = ADVICE.get(op, "use another layer in its place, or split it into simpler ones")
    return f"layer {layer!r}: the operation {op} does not run in every OpenCV from {oldest} on; {advice}"
