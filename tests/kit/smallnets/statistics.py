"""Attention, and normalisation by statistics of the image."""

from __future__ import annotations

import tensorflow as tf
from keras import layers, ops

from cvsr_converters.networks.layers import conv
from kit.smallnets.registry import body


@body("channel attention", 3)
def _(x):
    y = conv(6, activation="relu")(x)
    s = layers.GlobalAveragePooling2D(keepdims=True)(y)
    s = conv(6, 1, activation="sigmoid")(conv(2, 1, activation="relu")(s))
    return conv(3)(layers.Multiply()([y, s]))


@body("channel attention by Reshape and Dense", 3)
def _(x):
    y = conv(6, activation="relu")(x)
    s = layers.Reshape((1, 1, 6))(layers.GlobalAveragePooling2D()(y))
    s = layers.Dense(6, activation="sigmoid")(layers.Dense(2, activation="relu")(s))
    return conv(3)(layers.Multiply()([y, s]))


@body("channel attention by tf.reduce_mean and maximum", 3)
def _(x):
    y = conv(6, activation="relu")(x)
    s = ops.mean(y, (1, 2), keepdims=True) + ops.max(y, (1, 2), keepdims=True)
    return conv(3)(y * ops.sigmoid(conv(6, 1)(s)))


@body("spatial attention", 3)
def _(x):
    y = conv(6, activation="relu")(x)
    s = layers.Concatenate()([ops.mean(y, -1, keepdims=True), ops.max(y, -1, keepdims=True)])
    return conv(3)(y * conv(1, 7, activation="sigmoid")(s))


@body("pixel attention", 3)
def _(x):
    y = conv(4)(x)
    return conv(3)(layers.Multiply()([conv(4)(y), conv(4, 1, activation="sigmoid")(y)]))


@body("instance normalisation", 3)
def _(x):
    y = conv(4)(x)
    mean = ops.mean(y, (1, 2), keepdims=True)
    variance = ops.mean(ops.square(y - mean), (1, 2), keepdims=True)
    return conv(3)((y - mean) * ops.rsqrt(variance + 1e-3))


@body("instance normalisation by GroupNormalization", 3)
def _(x):
    return conv(3)(layers.GroupNormalization(groups=-1)(conv(4)(x)))


@body("group normalisation", 3)
def _(x):
    return conv(3)(layers.GroupNormalization(groups=2)(conv(4)(x)))


@body("self-attention over all pixels", refused="attention between pixels")
def _(x):
    y = conv(4)(x)

    def attention(q, k, v):
        shape = tf.shape(v)
        q, k, v = (tf.reshape(t, (shape[0], -1, 4)) for t in (q, k, v))
        return tf.reshape(tf.nn.softmax(tf.matmul(q, k, transpose_b=True) / 2.0) @ v, shape)

    return conv(1)(y + layers.Lambda(lambda qkv: attention(*qkv))([conv(4, 1)(y) for _ in range(3)]))
