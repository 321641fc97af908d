"""The ONNX operators that OpenCV loads and computes correctly, from 4.6 to 5.0 and on both engines of 5.0."""

from onnx import helper, numpy_helper

from cvsr.errors import ModelError

# Each was tested on 4.6.0, 4.8.1, 4.14.0 and 5.0.0 with both engines, at changing sizes. Some of their options may
# still fail: _option names those that are known to, and verification decides.
SINCE_4_6 = frozenset({
    "Abs", "Add", "AveragePool", "BatchNormalization", "Ceil", "Celu", "Concat", "Conv", "ConvTranspose", "Cos", "Div",
    "Elu", "Erf", "Exp", "Floor", "GlobalAveragePool", "GlobalMaxPool", "HardSigmoid", "LRN", "LeakyRelu", "Log",
    "LogSoftmax", "Max", "MaxPool", "Min", "Mul", "Neg", "PRelu", "Pad", "Pow", "Reciprocal", "Relu", "Resize", "Round",
    "Selu", "Sigmoid", "Sign", "Sin", "Slice", "Softmax", "Softplus", "Softsign", "Split", "Sqrt", "Sub", "Sum", "Tanh",
    "ThresholdedRelu", "Transpose",
})  # fmt: skip
SINCE_4_8 = SINCE_4_6 | {"Clip", "Equal", "Gather", "Greater", "Less", "ReduceSum", "Reshape", "Tile", "Where"}
ALLOWED = {"4.6": SINCE_4_6, "4.8": SINCE_4_8}

# What to do about some of the others; the message names the layer first.
ADVICE = {
    "Cast": "save the model as .keras, or build it in float32",
    "Clip": "remove it, because the runtime clips anyway, or require OpenCV 4.8 or later",
    "Compress": "it comes from SYMMETRIC padding, which is not in ONNX; use REFLECT or ZeroPadding2D",
    "DepthToSpace": "its number of input channels must be known; use a convolution with a fixed number before it",
    "Erfc": "use relu, swish or another activation instead of gelu",
    "MatMul": "attention between pixels and dense layers over an image do not fit any size; use convolutions",
    "ScaleAndTranslate": "Lanczos and antialiased resizing are not in ONNX; use bicubic, bilinear or nearest",
    "StatefulPartitionedCall": "a nested tf.function that TensorFlow does not inline; remove jit_compile=True",
}
_FLOW = "replace what depends on the image, and use Python's if and for for the rest while building the model"
ADVICE |= dict.fromkeys(("If", "Loop", "Scan"), f"the path through a network must be the same for every image; {_FLOW}")
# No rewrite removes these, and they make graphs depend on the size of the image.
SIZED = frozenset({"Compress", "If", "Loop", "MatMul", "ScaleAndTranslate", "Scan"})


def check(model, oldest="4.8"):
    """Raise ModelError, naming the layers, if the ONNX model has an operation that OpenCV ``oldest`` does not run.

    ``oldest`` is "4.6" (Debian 12) or "4.8"; later versions run the same operators.
    """
    if found := _lines(model, oldest):
        raise ModelError("\n".join(found[:5]))


def check_sized(model):
    """Raise ModelError, naming the layers, if an operation that OpenCV lacks is why the model fits one size only."""
    if found := _lines(model, "4.8", SIZED):
        raise ModelError("\n".join(found[:5]))


def _lines(model, oldest, only=None):
    constants = {c.name: c for c in model.graph.initializer}
    lines = [_line(node, constants, oldest) for node in model.graph.node if only is None or node.op_type in only]
    return [line for line in lines if line]


def _line(node, constants, oldest):
    """Return what is wrong with a node and what to do, or None."""
    op, layer = node.op_type.rpartition("::")[2], node.doc_string or node.name
    if node.op_type not in ALLOWED[oldest]:
        advice = ADVICE.get(op, "use another layer in its place, or split it into simpler ones")
        return f"layer {layer!r}: the operation {op} does not run in every OpenCV from {oldest} on; {advice}"
    wrong = _option(node, constants)
    return f"layer {layer!r}: {op} {wrong}" if wrong else None


def _option(node, constants):
    """Return which option of an allowed operator OpenCV lacks or computes incorrectly, and what to do, or None."""
    attrs = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type == "ReduceSum":
        axes = constants.get(node.input[1]) if len(node.input) > 1 else None
        if axes is None or sorted(numpy_helper.to_array(axes).tolist()) != [2, 3] or not attrs.get("keepdims", 1):
            return "over some axes is wrong in OpenCV 4.8; sum over all pixels, or over the channels"
    if node.op_type == "Reshape":
        shape = numpy_helper.to_array(constants[node.input[1]]).tolist() if node.input[1] in constants else []
        if len(shape) != 4 or 0 not in shape or -1 not in shape:
            return "to a fixed shape fits one size of image only; use a convolution, a transpose or a pixel shuffle"
    if node.op_type == "Resize" and attrs.get("mode") == b"cubic":
        return "with mode cubic runs in OpenCV 5 only; use a whole scale without align_corners, or mode linear"
    if node.op_type == "Conv" and attrs.get("auto_pad", b"").startswith(b"SAME") and max(attrs.get("strides", [1])) > 1:
        return "with a stride and padding that depends on the size is wrong in OpenCV 5; use explicit padding"
    return None
