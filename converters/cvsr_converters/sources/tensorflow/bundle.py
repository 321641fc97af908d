"""The files (.index and .data-…) in which TensorFlow stores variables."""

import math

from cvsr.errors import ModelError


def check(prefix):
    """Return TensorFlow's reader of the checkpoint at ``prefix``; raise ModelError if data is missing."""
    import tensorflow as tf

    files = sorted(prefix.parent.glob(f"{prefix.name}.data-*-of-*"))
    if not files:
        raise ModelError(f"{prefix.name}.data-00000-of-00001 is missing beside {prefix.name}.index: get both files")
    stored = sum(file.stat().st_size for file in files)
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        dtypes = reader.get_variable_to_dtype_map()
        shapes = reader.get_variable_to_shape_map()
    except Exception as error:  # TensorFlow raises various Python exceptions
        raise ModelError(f"{prefix.name}.index is truncated or broken: {error}; get the file again") from error
    sizes = {name: math.prod(shape) * dtypes[name].size for name, shape in shapes.items() if dtypes[name] != tf.string}
    if sum(sizes.values()) > stored:
        largest = max(sizes, key=lambda variable: sizes[variable])
        raise ModelError(
            f"{prefix.name}: the variables need {sum(sizes.values())} bytes ({largest!r} of shape {shapes[largest]} is "
            f"the largest), but the data file has {stored}: it is truncated or broken; get it again"
        )
    return reader


def value(reader, name):
    """Return the array of a variable; raise ModelError if its bytes are damaged."""
    try:
        return reader.get_tensor(name)
    except Exception as error:
        raise ModelError(f"the variable {name!r} cannot be read: {error}; get the files again") from error
