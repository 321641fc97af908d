"""Small Keras models with weights that are the same each time."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

import numpy as np


def quiet() -> None:
    """Keep TensorFlow from chatting, and to one thread."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def luma(name: str, scale: int) -> Any:
    """Return a model of luma 0..1, with the layers of ESPCN, of FSRCNN in small, or of SRCNN (its input enlarged)."""
    import keras

    image = keras.Input((None, None, 1), name="image")
    conv = keras.layers.Conv2D
    if name == "espcn":
        x = conv(8, 5, padding="same", activation="tanh")(image)
        x = conv(scale**2, 3, padding="same")(x)
        x = _shuffle(scale)(x)
    elif name == "fsrcnn":
        x = keras.layers.PReLU(shared_axes=[1, 2])(conv(8, 5, padding="same")(image))
        x = keras.layers.Conv2DTranspose(1, 9, strides=scale, padding="same")(x)
    else:
        x = conv(8, 9, padding="same", activation="relu")(image)
        x = conv(4, 1, padding="same", activation="relu")(x)
        x = conv(1, 5, padding="same")(x)
    return _weighted(keras.Model(image, x, name=name))


def color(scale: int = 2, interpolation: str = "bilinear") -> Any:
    """Return a model of RGB 0..1 with a batch normalization, a skip and a resize."""
    import keras

    image = keras.Input((None, None, 3), name="image")
    x = y = keras.layers.Conv2D(8, 3, padding="same")(image)
    y = keras.layers.LeakyReLU(0.2)(keras.layers.BatchNormalization()(y))
    x = keras.layers.Add()([x, keras.layers.Conv2D(8, 3, padding="same")(y)])
    x = keras.layers.UpSampling2D(scale, interpolation=interpolation)(x)
    return _weighted(keras.Model(image, keras.layers.Conv2D(3, 3, padding="same")(x), name="color"))


def _weighted(model: Any) -> Any:
    """Return a model that nearly repeats what it sees: weights near those of an average, with seeded noise."""
    random = np.random.default_rng(11)
    weights = []
    for weight in model.weights:
        shape, name = tuple(weight.shape), weight.path
        if len(shape) == 4:
            weights.append(random.normal(1 / np.prod(shape[:3]), 0.02, shape))
        else:
            middle = 1.0 if "variance" in name or "gamma" in name else 0.1 if "alpha" in name else 0.0
            weights.append(middle + random.uniform(0, 0.05, shape))
    model.set_weights([np.asarray(each, np.float32) for each in weights])
    return model


def _shuffle(scale: int) -> Any:
    import keras
    import tensorflow as tf

    class Shuffle(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return tf.nn.depth_to_space(x, scale)

        def compute_output_shape(self, shape: Any) -> Any:
            return shape[0], None, None, shape[3] // scale**2

    return Shuffle(name="shuffle")


if __name__ == "__main__":  # NAME SCALE OUT.pb
    quiet()
    from cvsr_converters import convert

    sys.exit(not convert(luma(sys.argv[1], int(sys.argv[2])), sys.argv[3], to="pb", range=1).ok)
