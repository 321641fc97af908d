"""Small graphs of TensorFlow 1: placeholders, weights at random, convolutions."""

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1


def weights(*shape):
    """Return a constant of random weights; the shape is the seed."""
    return tf.constant(np.random.default_rng(sum(shape)).normal(0, 0.3, shape).astype(np.float32))


def image(name="x", channels=1):
    """Return a placeholder of images of any size."""
    return v1.placeholder(tf.float32, (None, None, None, channels), name)


def conv(x, filters, size=3):
    """Return a convolution of ``x`` with random weights."""
    return tf.nn.conv2d(x, weights(size, size, x.shape[3], filters), 1, "SAME")
