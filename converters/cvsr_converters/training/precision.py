"""In what number type layers compute: float32, or bfloat16 with weights in float32, which is faster on some CPUs."""

import contextlib

import keras


@contextlib.contextmanager
def computing(precision):
    """Let layers that are made meanwhile compute in ``precision``: "float32" or "bfloat16"."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
