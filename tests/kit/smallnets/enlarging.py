"""Ways to enlarge an image."""

from __future__ import annotations

import tensorflow as tf
from keras import layers

from cvsr_converters.networks.layers import PixelShuffle, conv
from kit.smallnets.registry import BAKED, EVEN, body


def _enlarged(name, function, channels=3, **options):
    @body(name, channels, **options)
    def _(x):
        return conv(channels)(function(conv(4, activation="relu")(x)))


_enlarged("nearest UpSampling2D", layers.UpSampling2D(2))
_enlarged("nearest UpSampling2D, x3 and x2", layers.UpSampling2D((3, 2)))
_enlarged("bilinear UpSampling2D", layers.UpSampling2D(2, interpolation="bilinear"))
_enlarged("bilinear UpSampling2D x3", layers.UpSampling2D(3, interpolation="bilinear"))
_enlarged("bicubic UpSampling2D", layers.UpSampling2D(2, interpolation="bicubic"))
_enlarged("lanczos UpSampling2D", layers.UpSampling2D(2, interpolation="lanczos3"), refused="Lanczos and antialiased")


def _resize(method, **options):
    def call(x):
        height, width = tf.shape(x)[1], tf.shape(x)[2]
        return tf.image.resize(x, (2 * height, 2 * width), method, **options)

    return layers.Lambda(call)


_enlarged("tf.image.resize, nearest", _resize("nearest"))
_enlarged("tf.image.resize, bilinear", _resize("bilinear"))
_enlarged("tf.image.resize, bicubic", _resize("bicubic"))
_enlarged("tf.image.resize, area", _resize("area"))


def _resize_v1(method, **options):
    call = getattr(tf.compat.v1.image, f"resize_{method}")
    return layers.Lambda(lambda x: call(x, (2 * tf.shape(x)[1], 2 * tf.shape(x)[2]), **options))


_enlarged("resize of TensorFlow 1, nearest", _resize_v1("nearest_neighbor"))
_enlarged("resize of TensorFlow 1, bilinear", _resize_v1("bilinear"))
_enlarged("resize of TensorFlow 1, aligned corners", _resize_v1("bilinear", align_corners=True))


@body("nearest UpSampling2D twice, 64 channels", 3)
def _(x):
    y = conv(64, 1)(layers.UpSampling2D(2)(conv(64, 1)(x)))
    return conv(3, 1)(layers.UpSampling2D(2)(y))


@body("enlarged and reduced again, rows and columns by other numbers", 3)
def _(x):
    y = layers.UpSampling2D((3, 2))(conv(4, activation="relu")(x))
    return PixelShuffle(2)(conv(12)(conv(5, (5, 4), strides=(3, 2))(y)))


@body("nearest skip around the network")
def _(x):
    return layers.UpSampling2D(2)(x) + PixelShuffle(2)(conv(4)(conv(4, activation="relu")(x)))


@body("bilinear skip around the network", 3)
def _(x):
    return layers.UpSampling2D(2, interpolation="bilinear")(x) + PixelShuffle(2)(conv(12)(x))


@body("bicubic skip around the network", 3)
def _(x):
    return _resize("bicubic")(x) + PixelShuffle(2)(conv(12)(x))


@body("anchor: the input repeated along the channels", 3)
def _(x):
    return PixelShuffle(2)(layers.Concatenate()([x] * 4) + conv(12)(x))


@body("Resizing to a fixed size", 3, refused=BAKED)
def _(x):
    return conv(3)(layers.Resizing(96, 128)(x))


def reshaped(split, order, merge):
    """Return a layer that takes the channels apart, (N, H, W, *split), and puts all axes into another ``order``."""

    def call(x):
        n, height, width = (tf.shape(x)[axis] for axis in range(3))
        y = tf.transpose(tf.reshape(x, (n, height, width, *split)), order)
        return tf.reshape(y, (n, merge * height, merge * width, x.shape[-1] // merge**2))

    return layers.Lambda(call)


@body("shuffle by reshape and transpose", 3)
def _(x):
    return reshaped((2, 2, 3), (0, 1, 3, 2, 4, 5), 2)(conv(12)(conv(4, activation="relu")(x)))


@body("shuffle by reshape, in the order of PyTorch", 3)
def _(x):
    return reshaped((3, 2, 2), (0, 1, 4, 2, 5, 3), 2)(conv(12)(conv(4, activation="relu")(x)))


@body("shuffle of each channel alone", 3)
def _(x):
    y = conv(12)(conv(4, activation="relu")(x))
    split = layers.Lambda(lambda y: tf.concat([tf.nn.depth_to_space(z, 2) for z in tf.split(y, 3, -1)], -1))
    return split(y)


@body("two shuffles and a convolution between", 3)
def _(x):
    return PixelShuffle(2)(conv(12)(PixelShuffle(2)(conv(16)(x))))


@body("space to depth at the input", 3, sizes=EVEN)
def _(x):
    y = layers.Lambda(lambda x: tf.nn.space_to_depth(x, 2))(x)
    return PixelShuffle(4)(conv(48)(conv(4, activation="relu")(y)))
