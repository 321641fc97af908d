"""TFLite's operations in TensorFlow, as used in super-resolution networks.

Each is a function of the tensors, the fields of its options (by number, as in TensorFlow's schema.fbs; see
:class:`.file.Table`) and ``grown``, which returns the enlarged shape of a tensor (see ``run.py``). To add one, write it
and add it to OPERATIONS under its name in the schema.
"""

import tensorflow as tf
from tensorflow.lite.python.schema_py_generated import BuiltinOperator

from cvsr.errors import ModelError

_ACTIVATIONS = (
    lambda x: x,
    tf.nn.relu,
    lambda x: tf.clip_by_value(x, -1.0, 1.0),
    tf.nn.relu6,
    tf.tanh,
)


_NAMES = {code: name for name, code in vars(BuiltinOperator).items() if not name.startswith("_")}


def name(code):
    """Return the name of the operation with this code."""
    return _NAMES.get(code, f"number {code}")


class Fields:
    """The options of an operation: ``int``, ``byte``, ``bool`` and ``float`` read a field, ``ints`` a list."""

    def __init__(self, table):
        self._table = table

    def _read(self, number, kind, default):
        return default if self._table is None else self._table.scalar(number, kind, default)

    def int(self, number, default=0):
        return self._read(number, "<i", default)

    def byte(self, number, default=0):
        return self._read(number, "<b", default)

    def bool(self, number):
        return bool(self._read(number, "<b", 0))

    def float(self, number, default=0.0):
        return self._read(number, "<f", default)

    def ints(self, number):
        return [] if self._table is None else self._table.ints(number)


def _activated(x, fields, number):
    kind = fields.byte(number)
    if not 0 <= kind < len(_ACTIVATIONS):
        raise ModelError(f"an operation has the fused activation {kind}, which is not supported")
    return _ACTIVATIONS[kind](x)


def _padding(fields, number=0):
    return "VALID" if fields.byte(number) else "SAME"


def _conv(x, fields, _):
    """CONV_2D: padding, strides (w, h), activation, dilations (w, h); weights are (O, H, W, I)."""
    strides, dilations = (fields.int(2), fields.int(1)), (fields.int(5, 1), fields.int(4, 1))
    y = tf.nn.conv2d(x[0], tf.transpose(x[1], (1, 2, 3, 0)), strides, _padding(fields), dilations=dilations)
    return _activated(_biased(y, x[2:]), fields, 3)


def _depthwise(x, fields, _):
    """DEPTHWISE_CONV_2D: padding, strides (w, h), multiplier, activation, dilations; weights are (1, H, W, C·m)."""
    height, width, channels = x[1].shape[1:]
    weights = tf.reshape(x[1], (height, width, x[0].shape[3], channels // x[0].shape[3]))
    dilations = (fields.int(6, 1), fields.int(5, 1))
    strides = (1, fields.int(2), fields.int(1), 1)
    y = tf.nn.depthwise_conv2d(x[0], weights, strides, _padding(fields), dilations=dilations)
    return _activated(_biased(y, x[2:]), fields, 4)


def _transpose_conv(x, fields, grown):
    """TRANSPOSE_CONV: padding, strides (w, h), activation; inputs are a shape, weights (O, H, W, I), the image."""
    strides, weights = (fields.int(2), fields.int(1)), tf.transpose(x[1], (1, 2, 0, 3))
    y = tf.nn.conv2d_transpose(x[2], weights, grown(x, 0, 2, strides), strides, _padding(fields))
    return _activated(_biased(y, x[3:]), fields, 3)


def _biased(y, bias):
    return tf.nn.bias_add(y, bias[0]) if bias and bias[0] is not None else y


def _dense(x, fields, _):
    y = _biased(tf.matmul(x[0], x[1], transpose_b=True), x[2:])
    return _activated(y, fields, 0)


def _pool(function):
    """AVERAGE_POOL_2D, MAX_POOL_2D: padding, strides (w, h), filter (w, h), activation."""

    def pool(x, fields, _):
        size, strides = (fields.int(4), fields.int(3)), (fields.int(2), fields.int(1))
        return _activated(function(x[0], size, strides, _padding(fields)), fields, 5)

    return pool


def _resize(function, first):
    """RESIZE_…: align_corners and half_pixel_centers in the field ``first`` and the next; inputs are image, size."""

    def resize(x, fields, grown):
        options = {"align_corners": fields.bool(first), "half_pixel_centers": fields.bool(first + 1)}
        return function(images=x[0], size=grown(x, 1, 0), **options)

    return resize


def _strided_slice(x, fields, _):
    names = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
    return tf.strided_slice(*x, **{name: fields.int(number) for number, name in enumerate(names)})


def _reduce(function):
    return lambda x, fields, _: function(x[0], axis=x[1], keepdims=fields.bool(0))


def _joined(function, number=0):
    """Operations of two inputs with a fused activation."""
    return lambda x, fields, _: _activated(function(x[0], x[1]), fields, number)


def _plain(function):
    return lambda x, fields, _: function(*x)


def _prelu(x, slope):
    return tf.nn.relu(x) - slope * tf.nn.relu(-x)


def _gelu(x, fields, _):
    if fields.bool(0):
        return tf.nn.gelu(x[0], approximate=True)
    return x[0] * 0.5 * (1.0 + tf.math.erf(x[0] / 2**0.5))  # tf.nn.gelu uses Erfc, which ONNX lacks


def _cast(x, fields, _):
    kinds = {0: tf.float32, 2: tf.int32, 4: tf.int64, 6: tf.bool}
    kind = fields.byte(1)
    if kind not in kinds:
        raise ModelError("the model casts to a type that is not supported: use float32 throughout")
    return tf.cast(x[0], kinds[kind])


OPERATIONS = {
    "ABS": _plain(tf.abs),
    "ADD": _joined(tf.add),
    "ADD_N": lambda x, fields, _: tf.add_n(x),
    "AVERAGE_POOL_2D": _pool(tf.nn.avg_pool2d),
    "BATCH_TO_SPACE_ND": _plain(tf.batch_to_space),
    "BROADCAST_TO": _plain(tf.broadcast_to),
    "CAST": _cast,
    "CONCATENATION": lambda x, fields, _: _activated(tf.concat(x, fields.int(0)), fields, 1),
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "DEPTH_TO_SPACE": lambda x, fields, _: tf.nn.depth_to_space(x[0], fields.int(0)),
    "DEQUANTIZE": lambda x, fields, _: tf.cast(x[0], tf.float32),  # from float16: other types have been refused
    "DIV": _joined(tf.divide),
    "ELU": _plain(tf.nn.elu),
    "EXP": _plain(tf.exp),
    "EXPAND_DIMS": _plain(tf.expand_dims),
    "FILL": _plain(tf.fill),
    "FLOOR": _plain(tf.floor),
    "FULLY_CONNECTED": _dense,
    "FLOOR_DIV": _plain(tf.math.floordiv),
    "FLOOR_MOD": _plain(tf.math.floormod),
    "GATHER": lambda x, fields, _: tf.gather(x[0], x[1], axis=fields.int(0), batch_dims=fields.int(1)),
    "GELU": _gelu,
    "HARD_SWISH": lambda x, fields, _: x[0] * tf.nn.relu6(x[0] + 3.0) / 6.0,
    "LEAKY_RELU": lambda x, fields, _: tf.nn.leaky_relu(x[0], fields.float(0)),
    "LOG": _plain(tf.math.log),
    "LOGISTIC": _plain(tf.sigmoid),
    "MAXIMUM": _plain(tf.maximum),
    "MAX_POOL_2D": _pool(tf.nn.max_pool2d),
    "MEAN": _reduce(tf.reduce_mean),
    "MINIMUM": _plain(tf.minimum),
    "MIRROR_PAD": lambda x, fields, _: tf.pad(*x, mode="SYMMETRIC" if fields.byte(0) else "REFLECT"),
    "MUL": _joined(tf.multiply),
    "NEG": _plain(tf.negative),
    "PACK": lambda x, fields, _: tf.stack(x, fields.int(1)),
    "PAD": _plain(tf.pad),
    "PADV2": lambda x, fields, _: tf.pad(x[0], x[1], constant_values=x[2]),
    "POW": _plain(tf.pow),
    "PRELU": _plain(_prelu),
    "REDUCE_MAX": _reduce(tf.reduce_max),
    "RELU": _plain(tf.nn.relu),
    "RELU6": _plain(tf.nn.relu6),
    "RELU_0_TO_1": lambda x, fields, _: tf.clip_by_value(x[0], 0.0, 1.0),
    "RELU_N1_TO_1": lambda x, fields, _: tf.clip_by_value(x[0], -1.0, 1.0),
    "RESHAPE": lambda x, fields, _: tf.reshape(x[0], x[1] if len(x) > 1 else fields.ints(0)),
    "RESIZE_BILINEAR": _resize(tf.raw_ops.ResizeBilinear, 2),
    "RESIZE_NEAREST_NEIGHBOR": _resize(tf.raw_ops.ResizeNearestNeighbor, 0),
    "RSQRT": _plain(tf.math.rsqrt),
    "SHAPE": lambda x, fields, _: tf.shape(x[0], tf.int64 if fields.byte(0) == 4 else tf.int32),
    "SLICE": _plain(tf.slice),
    "SOFTMAX": lambda x, fields, _: tf.nn.softmax(x[0] * fields.float(0)),
    "SPACE_TO_BATCH_ND": _plain(tf.space_to_batch),
    "SPACE_TO_DEPTH": lambda x, fields, _: tf.nn.space_to_depth(x[0], fields.int(0)),
    "SPLIT": lambda x, fields, _: tf.split(x[1], fields.int(0), int(x[0])),
    "SPLIT_V": lambda x, fields, _: tf.split(x[0], x[1], int(x[2])),
    "SQRT": _plain(tf.sqrt),
    "SQUARE": _plain(tf.square),
    "SQUARED_DIFFERENCE": _plain(tf.math.squared_difference),
    "SQUEEZE": lambda x, fields, _: tf.squeeze(x[0], fields.ints(0) or None),
    "STRIDED_SLICE": _strided_slice,
    "SUB": _joined(tf.subtract),
    "SUM": _reduce(tf.reduce_sum),
    "TANH": _plain(tf.tanh),
    "TILE": _plain(tf.tile),
    "TRANSPOSE": _plain(tf.transpose),
    "TRANSPOSE_CONV": _transpose_conv,
    "UNPACK": lambda x, fields, _: tf.unstack(x[0], fields.int(0), fields.int(1)),
}
