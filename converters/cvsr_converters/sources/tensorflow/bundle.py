"""The pairs of files (.index, .data-…) in which TensorFlow 2 keeps variables."""

import math

from cvsr.errors import ModelError


def check(prefix):
    """Return TensorFlow's reader of the checkpoint at ``prefix``; raise ModelError if its data are too few for it."""
    import tensorflow as tf

    files = sorted(prefix.parent.glob(f"{prefix.name}.data-*-of-*"))
    if not files:
        raise ModelError(f"beside {prefix.name}.index there is no {prefix.name}.data-00000-of-00001: get both files")
    stored = sum(file.stat().st_size for file in files)
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        dtypes = reader.get_variable_to_dtype_map()
        shapes = reader.get_variable_to_shape_map()
    except Exception as error:  # TensorFlow turns its errors into any of Python's
        raise ModelError(f"{prefix.name}.index is cut short or broken: {error}; get the file again") from error
    sizes = {name: math.prod(shape) * dtypes[name].size for name, shape in shapes.items() if dtypes[name] != tf.string}
    if sum(sizes.values()) > stored:
        largest = max(sizes, key=lambda variable: sizes[variable])
        raise ModelError(
            f"{prefix.name}: the variables are {sum(sizes.values())} bytes ({largest!r} of shape {shapes[largest]} is "
            f"the largest), but the data file has {stored}: it is cut short or broken; get it again"
        )
    return reader


def value(reader, name):
    """Return the array of a variable; raise ModelError where its bytes are damaged."""
    try:
        return reader.get_tensor(name)
    except Exception as error:
        raise ModelError(f"the variable {name!r} cannot be read: {error}; get the files again") from error
