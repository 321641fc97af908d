"""Ways to write a model."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from cvsr_converters.networks.layers import PixelShuffle, conv
from cvsr_converters.original import Input
from kit.smallnets.registry import BAKED, body, net


@net("Sequential")
def _():
    return keras.Sequential([keras.Input((None, None, 1)), conv(4, activation="relu"), conv(4), PixelShuffle(2)])


@net("a model inside of a model")
def _():
    inner = keras.Sequential([keras.Input((None, None, 4)), conv(4, activation="relu"), conv(4)])
    x = keras.Input((None, None, 1))
    return keras.Model(x, conv(1)(inner(inner(conv(4)(x)))))


class Subclassed(keras.Model):
    """A model whose graph only its call knows."""

    def __init__(self):
        super().__init__()
        self.first, self.second = conv(4, activation="relu"), conv(12)
        self.drop = layers.Dropout(0.5)

    def call(self, x, training=False):
        y = self.drop(self.first(x), training=training)
        return tf.clip_by_value(tf.nn.depth_to_space(self.second(y), 2), 0.0, 1.0)


@net("subclassed", channels=3)
def _():
    model = Subclassed()
    model(np.zeros((1, 8, 8, 3), np.float32))
    return model


class Plain(tf.Module):
    """A network without Keras."""

    def __init__(self):
        super().__init__()
        self.kernel, self.kernel2 = (tf.Variable(tf.zeros(s), name="kernel") for s in ((3, 3, 1, 4), (3, 3, 4, 4)))
        self.bias = tf.Variable(tf.zeros(4), name="bias")
        self.alpha = tf.Variable(tf.zeros(4), name="alpha")
        self.deconv = tf.Variable(tf.zeros((5, 5, 1, 4)), name="deconv")
        self.weights = [self.kernel, self.kernel2, self.bias, self.alpha, self.deconv]

    def __call__(self, x):
        y = tf.nn.bias_add(tf.nn.conv2d(x, self.kernel, 1, "SAME"), self.bias)
        y = tf.nn.relu(y) + self.alpha * (y - tf.abs(y)) * 0.5
        y = tf.nn.leaky_relu(tf.nn.conv2d(y, self.kernel2, 1, [[0, 0], [1, 1], [1, 1], [0, 0]]), 0.1)
        shape = tf.shape(x) * [1, 2, 2, 1]
        return tf.nn.conv2d_transpose(y, self.deconv, shape, 2) + 0.25


@net("tf.Module with plain tf.nn", channels=1)
def _():
    return Plain()


@net("mixed precision", channels=3, refused="the operation Cast.*float32")
@net("mixed precision, saved", saved=True)
def _():
    policy = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        x = keras.Input((None, None, 3))
        y = conv(4, activation="relu")(x)
        return keras.Model(x, layers.Activation("linear", dtype="float32")(PixelShuffle(2)(conv(12)(y))))
    finally:
        keras.mixed_precision.set_dtype_policy(policy)


@body("residual scaling", 3)
def _(x):
    y = conv(4)(x)
    return conv(3)(y + 0.1 * conv(4)(layers.Rescaling(0.2)(conv(4, activation="relu")(y))))


@body("noise and dropout, idle at inference", 3)
def _(x):
    return conv(3)(layers.SpatialDropout2D(0.3)(layers.GaussianNoise(0.1)(conv(4, activation="relu")(x))))


@body("a learned factor per channel and one for all", 3)
def _(x):
    y = conv(4)(x)
    return conv(3)(y * np.float32([1.5, -0.5, 2.0, 0.1])) * 0.7 - 0.3


@body("arithmetic", 3)
def _(x):
    y = conv(3)(x)
    return ops.sqrt(ops.square(y) + 1.0) - ops.exp(-ops.abs(y)) / (1.5 + y**2)


@net("an output that nobody needs", output=0)
def _():
    x = keras.Input((None, None, 1))
    y = conv(4, activation="relu")(x)
    return keras.Model(x, [PixelShuffle(2)(conv(4)(y)), ops.mean(y, -1, keepdims=True)])


@net("an input of a fixed size, saved", saved=True)
def _():
    x = keras.Input((24, 24, 3))
    return keras.Model(x, PixelShuffle(2)(conv(12)(conv(4, activation="relu")(x))))


@body("weights per pixel", refused=BAKED)
def _(x):
    def placed(x):
        height, width = x.shape[1:3]
        return x * np.linspace(0, 1, (height or 1) * (width or 1), dtype=np.float32).reshape(1, height or 1, -1, 1)

    return layers.Lambda(placed)(conv(1)(x))


@net(
    "Dense on a flattened image, saved",
    saved=True,
    refused="fit only one image size: 'flatten",
)
def _():
    x = keras.Input((16, 24, 1))
    y = layers.Dense(16 * 24)(layers.Flatten()(conv(2)(x)))
    return keras.Model(x, layers.Reshape((16, 24, 1))(y))


@net("two inputs", inputs=(Input("x", 1), Input("x2", 1, factor=2)))
def _():
    x, x2 = keras.Input((None, None, 1), name="x"), keras.Input((None, None, 1), name="x2")
    a = layers.PReLU(shared_axes=[1, 2])(conv(4)(x))
    b = layers.PReLU(shared_axes=[1, 2])(conv(3)(a))
    y = layers.Concatenate()([a, b])
    return keras.Model([x, x2], x2 + PixelShuffle(2)(conv(4)(y)))
