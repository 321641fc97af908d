"""Activations, limits, and normalisation."""

from __future__ import annotations

from keras import layers, ops

from cvsr_converters.networks.layers import PixelShuffle, conv
from kit.smallnets.registry import body


def _activated(name, function):
    @body(f"activation {name}", 3)
    def _(x):
        return conv(3)(function(conv(4)(function(conv(4)(x)))))


for label in ("relu6", "elu", "selu", "gelu", "swish", "mish", "softplus", "softsign", "hard_sigmoid", "hard_swish"):
    _activated(label, layers.Activation(label))
_activated("gelu, approximated", lambda x: ops.gelu(x, approximate=True))
_activated("PReLU per channel", lambda x: layers.PReLU(shared_axes=[1, 2])(x))
_activated("PReLU with one slope", lambda x: layers.PReLU(shared_axes=[1, 2, 3])(x))
_activated("PReLU by hand", lambda x: ops.relu(x) - 0.2 * ops.relu(-x))
_activated("leaky ReLU by maximum", lambda x: ops.maximum(x, 0.2 * x))
_activated("ReLU with options", lambda x: layers.ReLU(max_value=1.5, negative_slope=0.1)(x))
_activated("softmax over channels", lambda x: layers.Softmax()(x))


@body("maxout", 3)
def _(x):
    return conv(3)(layers.Maximum()([conv(4)(x), conv(4)(x)]))


@body("tanh moved to 0..1", 3)
def _(x):
    return (ops.tanh(conv(3)(conv(4, activation="relu")(x))) + 1.0) / 2.0


@body("clipped to 0..255 and rescaled", 3)
def _(x):
    y = layers.Rescaling(1 / 255)(x)
    return ops.clip(conv(3)(conv(4, activation="relu")(y)) * 255.0, 0.0, 255.0)


@body("sigmoid at the output", 3)
def _(x):
    return layers.Activation("sigmoid")(PixelShuffle(2)(conv(12)(conv(4, activation="relu")(x))))


@body("layer normalisation", 3)
def _(x):
    return conv(3)(layers.LayerNormalization()(conv(4)(x)))


@body("layer normalisation behind a shuffle", 3)
def _(x):
    return conv(3)(layers.LayerNormalization()(conv(4)(PixelShuffle(2)(conv(12)(x)))))


@body("layer normalisation, RMS", 3)
def _(x):
    return conv(3)(layers.RMSNormalization()(conv(4)(x)))


@body("batch normalisation after convolutions", 3)
def _(x):
    y = layers.BatchNormalization()(conv(4)(x))
    y = layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(y))
    return layers.BatchNormalization(scale=False)(layers.Conv2DTranspose(3, 4, strides=2, padding="same")(y))


@body("batch normalisation before convolutions", 3)
def _(x):
    y = conv(4)(layers.ReLU()(layers.BatchNormalization()(x)))
    return conv(3)(layers.BatchNormalization(center=False)(y))


@body("batch normalisation after padding", 3)
def _(x):
    y = layers.BatchNormalization()(layers.ZeroPadding2D(1)(x))
    return layers.Conv2D(3, 3)(y)


@body("batch normalisation in the residual", 3)
def _(x):
    y = conv(4)(x)
    z = layers.BatchNormalization()(layers.Add()([y, layers.BatchNormalization()(conv(4)(y))]))
    return conv(3)(layers.Concatenate()([z, layers.BatchNormalization()(y)]))


@body("Rescaling to -1..1", 3)
def _(x):
    return layers.Rescaling(0.5, offset=0.5)(conv(3)(layers.Rescaling(2.0, offset=-1.0)(x)))


@body("Rescaling per channel", 3)
def _(x):
    return conv(3)(layers.Rescaling([1.0, 2.0, 3.0], offset=[-0.5, 0.0, 0.5])(x))


@body("Normalization", 3)
def _(x):
    return conv(3)(layers.Normalization(mean=[0.4, 0.5, 0.6], variance=[0.1, 0.2, 0.3])(x))
