"""Run a TFLite model at any image size: with TensorFlow's operations, and in TFLite's own interpreter."""

import re
import warnings

import numpy as np
import tensorflow as tf

from cvsr.errors import ModelError
from cvsr_converters.sources.tflite.ops import OPERATIONS, Fields, name


def fixed_size(file):
    """Return the (H, W) that the file's first input is fixed to, or None."""
    shape = file.tensors[file.inputs[0]].shape
    sides = shape[1:3] if shape[3] in (1, 3, 4) or shape[1] not in (1, 3, 4) else shape[2:4]
    return sides if min(sides) > 1 else None


def in_tensorflow(file, numbers):
    """Return a function from {input: tensor} to the list of the tensors with these indices."""

    @tf.function
    def run(images):
        values = {-1: None}
        values |= {number: tensor.data for number, tensor in enumerate(file.tensors) if tensor.data is not None}
        values |= {number: images[file.tensors[number].name] for number in file.inputs}
        for operation in file.operations:
            x = [values[number] for number in operation.inputs]
            with tf.name_scope(_scope(file.tensors[operation.outputs[0]].name)):
                made = OPERATIONS[name(operation.code)](x, Fields(operation.options), _grown(file, operation))
            made = list(made) if isinstance(made, (list, tuple)) else [made]
            values.update(zip(operation.outputs, made, strict=True))
        return [values[number] for number in numbers]

    return run


def _scope(name):
    return re.sub(r"[^\w.\-/]", "_", name).strip("/_.-") or "layer"


def _grown(file, operation):
    """Return a function from inputs, the indices of a shape and an image among them, and strides, to that shape.

    If the shape and the file's size are constant, it is the image's own shape, enlarged as the file enlarges it.
    """

    def grown(x, shape, image, strides=None):
        before = file.tensors[operation.inputs[image]].sizes
        wanted = file.tensors[operation.inputs[shape]].data
        if wanted is None or fixed_size(file) is None:
            return x[shape]
        sides, after = tf.shape(x[image])[1:3], [int(n) for n in wanted]
        if strides is None:
            if any(new % old for new, old in zip(after, before[1:3], strict=True)):
                raise ModelError(f"a layer resizes {before} to {after}: not an integer scale, so it fits no other size")
            return sides * [new // old for new, old in zip(after, before[1:3], strict=True)]
        rest = [new - old * step for new, old, step in zip(after[1:3], before[1:3], strides, strict=True)]
        return tf.concat([[after[0]], sides * strides + rest, [after[3]]], 0)

    return grown


def in_interpreter(data, form, inputs, outputs):
    """Return a function like the ``run`` of an Original, in TFLite's own interpreter.

    ``inputs`` are indices of tensors, ``outputs`` {name: index}.
    """
    resolver = tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this class will move into another package
        # pad with zeros: the end of a table's last field may be read in words of 8 bytes
        interpreter = tf.lite.Interpreter(model_content=data + bytes(8), experimental_op_resolver_type=resolver)

    def run(*blobs):
        fed = [b if flip else b.transpose(0, 2, 3, 1) for b, flip in zip(blobs, form.flips, strict=True)]
        for number, blob in zip(inputs, fed, strict=True):
            interpreter.resize_tensor_input(number, blob.shape)
        interpreter.allocate_tensors()
        for number, blob in zip(inputs, fed, strict=True):
            interpreter.set_tensor(number, np.ascontiguousarray(blob, np.float32))
        interpreter.invoke()
        results = [(interpreter.get_tensor(number), form.outputs[name].layout) for name, number in outputs.items()]
        return [y if layout == "NCHW" else np.ascontiguousarray(y.transpose(0, 3, 1, 2)) for y, layout in results]

    return run
