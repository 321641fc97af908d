"""A pyramid: each level doubles the image and adds the details that it predicts; every level is an output.

    features:  luma ── conv ── level 1 ──┬── level 2 ──┬── …
                                     conv 3x3x1    conv 3x3x1
                                         │             │
    image:     luma ── deconv 4x4 ────── + (x2) ─ … ── + (x4)      deconv 4x4 begins as bilinear interpolation

    level:  10 x [LeakyReLU ── conv 3x3] ── LeakyReLU ── deconv 3x3

Lai et al. 2017, "Deep Laplacian Pyramid Networks for Fast and Accurate Super-Resolution" (LapSRN);
Lai et al. 2018, "Fast and Accurate Image Super-Resolution with Deep Laplacian Pyramid Networks" (MS-LapSRN), whose best
net is ``lapsrn(depth=5, recursions=8, shared=True)``. Trained with the Charbonnier loss
(``cvsr_converters.training.losses``) on the output of every level.
"""

import keras
import numpy as np
from keras import layers, ops

from cvsr_converters.facts import Facts
from cvsr_converters.networks.layers import conv, steps

FACTS = Facts(color="luma", range=1, tail="image")


@keras.saving.register_keras_serializable("cvsr")
class Bilinear(keras.initializers.Initializer):
    """The kernel (size, size, out, in) with which a deconvolution of stride 2 interpolates between pixels."""

    def __call__(self, shape, dtype=None):
        size = shape[0]
        line = 1 - np.abs(np.arange(size) - (size - 1) / 2) / 2
        kernel = np.outer(line, line)[:, :, None, None] * np.eye(shape[2], shape[3])
        return ops.convert_to_tensor(kernel.astype(np.float32), dtype=dtype)


def _level(channels, depth, recursions):
    """Return a function that doubles features and predicts details from them; called again, it shares its weights."""
    convs = [conv(channels, kernel_initializer="he_normal") for _ in range(depth)]
    double = layers.Conv2DTranspose(channels, 3, strides=2, padding="same")
    details = conv(1)

    def call(x):
        y = x
        for _ in range(recursions):
            for one in convs:
                y = one(layers.LeakyReLU(0.2)(y))
            if recursions > 1:
                y = layers.Add()([x, y])  # from the source of the recursion, not from its last turn
        y = double(layers.LeakyReLU(0.2)(y))
        return y, details(y)

    return call


def lapsrn(scale=4, channels=64, depth=10, recursions=1, shared=False):
    """Return the network: luma 0..1 of shape (N, H, W, 1) → {"x2": …, "x4": …}, or one tensor where scale is 2.

    ``scale``: 2, 4 or 8. ``shared``: all levels have the same weights; with ``recursions``, each uses its convolutions
    several times.
    """
    if set(steps(scale)) != {2}:
        raise ValueError(f"a pyramid of doublings has a scale of 2, 4 or 8, not {scale}")
    x = keras.Input((None, None, 1), name="luma")
    features, image, outputs = conv(channels)(x), x, {}
    level = _level(channels, depth, recursions)
    double = layers.Conv2DTranspose(1, 4, strides=2, padding="same", use_bias=False, kernel_initializer=Bilinear())
    for number in range(1, len(steps(scale)) + 1):
        if number > 1 and not shared:
            level = _level(channels, depth, recursions)
            double = double.__class__.from_config(double.get_config() | {"name": None})
        features, details = level(features)
        image = layers.Add()([double(image), details])
        outputs[f"x{2**number}"] = image
    return keras.Model(x, outputs if len(outputs) > 1 else image, name="lapsrn")
