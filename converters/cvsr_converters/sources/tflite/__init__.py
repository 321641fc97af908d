"""TFLite models with float32 or float16 weights.

The TFLite interpreter runs them, and their operations in TensorFlow give the graph; when a file is read, the two must
agree. If a size is fixed in the file (the output shape of a transposed convolution or a resize), only the graph accepts
other sizes.
"""

from pathlib import Path

import numpy as np

from cvsr.errors import ModelError

TITLE = "TFLite model (.tflite)"

_TOLERANCE = 1e-4  # relative to the output's range
_OTHER = (40, 64)  # a size that no file is fixed to
_QUANTISED = ("int8", "uint8", "int16", "uint16")


def matches(path):
    path = Path(path)
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(8)[4:] == b"TFL3" or path.suffix.lower() in (".tflite", ".lite")


def read(path, options):
    path = Path(path)
    try:
        return _read(path.read_bytes(), path.stem, options)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def _read(data, name, options):
    from cvsr_converters.sources import probe
    from cvsr_converters.sources.tflite.file import parse
    from cvsr_converters.sources.tflite.run import fixed_size, in_interpreter, in_tensorflow

    file = parse(data)
    _check(file)
    outputs = {file.tensors[number].name: number for number in file.outputs}
    if missing := [wanted for wanted in options.outputs if wanted not in outputs]:
        raise ModelError(f"there is no output {missing[0]!r}; available: {', '.join(outputs)}")
    wanted = list(options.outputs) or list(outputs)
    images = {file.tensors[number].name: file.tensors[number].shape for number in file.inputs}
    notes = []

    def make(inputs, taken=wanted):
        run = in_tensorflow(file, [outputs[one] for one in taken])
        return lambda *tensors: run(dict(zip([one.name for one in inputs], tensors, strict=True)))

    form = probe.find(make, probe.candidates(images, options.scale), wanted)
    taken = probe.images(form.outputs, notes)
    original = probe.original(make(form.inputs, taken), form, taken, name=name, notes=notes)
    numbers = {file.tensors[number].name: number for number in file.inputs}
    interpreted = in_interpreter(
        data, form, [numbers[one.name] for one in form.inputs], {one: outputs[one] for one in taken}
    )
    _compare(original, interpreted, fixed_size(file))
    return original


def _check(file):
    """Raise ModelError for anything that cannot be converted, by name."""
    from cvsr_converters.sources.tflite import ops

    for tensor in file.tensors:
        if tensor.dtype is None or tensor.dtype.name in _QUANTISED:
            raise ModelError(
                f"the tensor {tensor.name!r} is {tensor.dtype or 'of an unsupported type'}: the model is "
                "quantized, and its float weights are lost. Convert the float model that it was made from, or a "
                ".tflite made with float32 or float16 weights"
            )
    for number in file.inputs:
        tensor = file.tensors[number]
        if tensor.dtype.name != "float32" or len(tensor.shape) != 4:
            raise ModelError(f"the input {tensor.name!r} is not a float32 image (N, H, W, C) but {tensor.shape}")
    if not 1 <= len(file.inputs) <= 2:
        raise ModelError(
            f"the model has {len(file.inputs)} inputs but must have one image, or one and its enlarged form"
        )
    for operation in file.operations:
        if (op := ops.name(operation.code)) not in ops.OPERATIONS:
            layer = file.tensors[operation.outputs[0]].name if operation.outputs else ""
            raise ModelError(
                f"layer {layer!r}: the operation {op} is not supported; convert the model that the .tflite "
                "was made from"
            )


def _compare(original, interpreted, fixed):
    """Let ``original`` run in TFLite if that accepts any size; raise ModelError if TensorFlow's results differ."""
    from cvsr_converters.proof.verify import distance

    def difference(size):
        random = np.random.default_rng(0)
        blobs = [random.random((1, i.channels, *(n * i.factor for n in size)), np.float32) for i in original.inputs]
        pairs = zip(original.run(*blobs), interpreted(*blobs), strict=True)
        return max(distance(ours, theirs) for ours, theirs in pairs)

    try:
        if (error := difference(fixed or (32, 48))) > _TOLERANCE:
            raise ModelError(
                f"TFLite and TensorFlow differ by {error:.1e} of the range on this model: please report it, and "
                "convert the model that the .tflite was made from"
            )
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"TFLite cannot run the model: {' '.join(str(error).split())[:300]}") from error
    try:
        free = difference(_OTHER) <= _TOLERANCE
    except (RuntimeError, ValueError):
        free = False
    if free:
        original.run = interpreted
    else:
        original.notes.append(
            f"it is fixed to {fixed[0]}x{fixed[1]} and was compared with TFLite at that size"
            if fixed
            else "TFLite runs it only at some sizes"
        )
