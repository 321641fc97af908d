"""Kinds of convolution, of padding, and of taking channels apart; networks that halve."""

from __future__ import annotations

import tensorflow as tf
from keras import layers, ops

from cvsr_converters.networks.layers import conv
from kit.smallnets.enlarging import reshaped
from kit.smallnets.registry import EVEN, body


@body("grouped convolution", 3)
def _(x):
    return conv(3)(conv(6, groups=3)(conv(6, groups=2, activation="relu")(conv(6)(x))))


@body("dilated convolution")
def _(x):
    return conv(1, dilation_rate=(1, 3))(conv(4, dilation_rate=2, activation="relu")(x))


@body("separable convolution", 3)
def _(x):
    x = layers.SeparableConv2D(6, 3, padding="same", activation="relu")(x)
    return layers.SeparableConv2D(3, 3, padding="same", depth_multiplier=2)(x)


@body("depthwise convolution", 3)
def _(x):
    return layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, activation="relu")(conv(4)(x))


@body("depthwise convolution, dilated", 3)
def _(x):
    return layers.DepthwiseConv2D(3, padding="same", dilation_rate=2)(x)


@body("convolutions of 1x3 and 3x1")
def _(x):
    return conv(1, (3, 1))(conv(4, (1, 3), activation="relu")(x))


@body("convolution of an even size")
def _(x):
    return conv(1, 4)(conv(4, 2, activation="relu")(x))


@body("transposed convolution of an odd size", 3)
def _(x):
    return layers.Conv2DTranspose(3, 5, strides=2, padding="same")(conv(4, activation="relu")(x))


@body("transposed convolution, valid")
def _(x):
    return layers.Conv2DTranspose(1, 4, strides=2)(conv(4, activation="relu")(x))


@body("transposed convolution smaller than its stride")
def _(x):
    return layers.Conv2DTranspose(1, 2, strides=3, padding="same")(conv(4, activation="relu")(x))


@body("dense and recursive")
def _(x):
    shared, made = conv(4, activation="relu"), conv(4, activation="relu")(x)
    for _ in range(3):
        made = layers.Concatenate()([shared(made[..., -4:]), made])
    return layers.Add()([x, conv(1, 1)(made)])


@body("a dense layer on the channels")
def _(x):
    return layers.Dense(1)(layers.Dense(5, activation="relu")(x))


@body("a dense layer from one channel to one")
def _(x):
    return conv(1)(layers.Dense(1, activation="relu")(x))


@body("U-Net with strided convolutions", 3, sizes=EVEN)
def _(x):
    a = conv(4, activation="relu")(x)
    b = conv(5, strides=2, activation="relu")(a)
    c = conv(6, strides=2, activation="relu")(b)
    b = layers.Concatenate()([b, layers.Conv2DTranspose(5, 3, strides=2, padding="same")(c)])
    a = layers.Concatenate()([a, layers.UpSampling2D(2)(conv(4, activation="relu")(b))])
    return conv(3)(a)


@body("U-Net with pooling", 3, sizes=EVEN)
def _(x):
    a = conv(4, activation="relu")(x)
    b = conv(5, activation="relu")(layers.MaxPooling2D(2)(a))
    c = conv(6, activation="relu")(layers.AveragePooling2D(2)(b))
    b = layers.Add()([b, layers.Conv2DTranspose(5, 2, strides=2)(c)])
    return conv(3)(layers.Concatenate()([a, layers.Conv2DTranspose(4, 2, strides=2)(b)]))


@body("average of neighbours, same", 3)
def _(x):
    return conv(3)(layers.AveragePooling2D(3, strides=1, padding="same")(conv(4)(x)))


@body("ZeroPadding2D and valid convolution", 3)
def _(x):
    return layers.Conv2D(3, 5)(layers.ZeroPadding2D(((2, 1), (3, 2)))(layers.Conv2D(4, 3)(layers.ZeroPadding2D(1)(x))))


def _padded(name, mode, **options):
    @body(name, 3, **options)
    def _(x):
        pad = layers.Lambda(lambda x: tf.pad(x, [[0, 0], [2, 2], [2, 2], [0, 0]], mode))
        return layers.Conv2D(3, 5)(pad(conv(4, activation="relu")(x)))


_padded("REFLECT padding", "REFLECT")
_padded("SYMMETRIC padding", "SYMMETRIC", refused="use REFLECT or ZeroPadding2D")


@body("cropped", 3)
def _(x):
    return layers.Conv2D(3, 3)(layers.Cropping2D(((1, 2), (3, 4)))(conv(4)(x)))


@body("channels taken apart and put together", 3)
def _(x):
    a, b = ops.split(conv(6)(x), 2, axis=-1)
    return conv(3)(layers.Concatenate()([a * ops.sigmoid(b), b[..., :1], a[..., 1:]]))


@body("channels reversed", 3)
def _(x):
    return conv(3)(conv(4, activation="relu")(x[..., ::-1]))[..., ::-1]


@body("channels picked by a list", 3)
def _(x):
    y = conv(4, activation="relu")(x)
    return conv(3)(ops.take(y, [3, 1, 1], axis=-1)) + ops.take(y, [0, 2, 1], axis=-1)


@body("transposed convolution far smaller than its stride", 3)
def _(x):
    return layers.Conv2DTranspose(3, 2, strides=4, padding="same")(conv(4, activation="relu")(x))


@body("channels shuffled between groups", 3)
def _(x):
    return conv(3)(reshaped((2, 3), (0, 1, 2, 4, 3), 1)(conv(6)(x)))
