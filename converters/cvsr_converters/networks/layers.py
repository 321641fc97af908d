"""What many networks share: registered layers, which a ``.keras`` file needs no unsafe loading for, and tails."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("cvsr")
class PixelShuffle(keras.layers.Layer):
    """Arrange (N, H, W, C·scale²) as an image (N, H·scale, W·scale, C).

    Channel ``(row * scale + column) * C + c`` holds channel c of the pixels at that row and column of each
    scale x scale block: the order of ``tf.nn.depth_to_space``.

    Shi et al. 2016, "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional
    Neural Network" (ESPCN).
    """

    def __init__(self, scale, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, x):
        return tf.nn.depth_to_space(x, self.scale)  # keras.ops has it in the latest Keras only

    def compute_output_shape(self, shape):
        n, height, width, channels = shape
        height, width = (side and side * self.scale for side in (height, width))
        return n, height, width, channels // self.scale**2

    def get_config(self):
        return super().get_config() | {"scale": self.scale}


@keras.saving.register_keras_serializable("cvsr")
class GroupConv2D(keras.layers.Conv2D):
    """A convolution in groups that is trained as one of all channels, whose kernel is zero between the groups.

    It is the same function; TensorFlow's gradient of a convolution in groups takes a hundred times as long on a CPU.
    """

    def call(self, x, training=False):
        if not training:
            return super().call(x)
        parts = tf.split(self.kernel, self.groups, axis=3)
        n, last = self.kernel.shape[2], self.groups - 1
        rows = [tf.pad(part, [(0, 0), (0, 0), (i * n, (last - i) * n), (0, 0)]) for i, part in enumerate(parts)]
        kernel = tf.concat(rows, axis=3)
        y = tf.nn.bias_add(tf.nn.conv2d(x, kernel, self.strides, self.padding.upper()), self.bias)
        return self.activation(y)


@keras.saving.register_keras_serializable("cvsr")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's layer, trained in TensorFlow's fused form: a fifth of the time on a CPU."""

    def call(self, inputs, training=None, mask=None):
        if not training:
            return super().call(inputs, training=training, mask=mask)
        x, gamma, beta = (tf.cast(each, "float32") for each in (inputs, self.gamma, self.beta))
        y, mean, variance = tf.compat.v1.nn.fused_batch_norm(x, gamma, beta, epsilon=self.epsilon, is_training=True)
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1 - self.momentum))
        return tf.cast(y, self.compute_dtype)


def conv(filters, size=3, groups=1, **options):
    """Return a convolution that keeps the size of the image."""
    if groups > 1:
        return GroupConv2D(filters, size, padding="same", groups=groups, **options)
    return keras.layers.Conv2D(filters, size, padding="same", **options)


def steps(scale):
    """Return the factors in which networks enlarge by ``scale``: twos where it is a power of two, else at once."""
    return [2] * (scale.bit_length() - 1) if scale & (scale - 1) == 0 else [scale]


def enlarge(x, scale, activation=None, before=None, **options):
    """Return ``x`` enlarged by convolutions and pixel shuffles, x4 as twice x2; ``options`` are the convolutions'.

    ``before``: the convolutions' activation. ``activation``: a function that makes the layer behind each shuffle.
    """
    for step in steps(scale):
        x = PixelShuffle(step)(conv(x.shape[-1] * step**2, activation=before, **options)(x))
        x = activation()(x) if activation else x
    return x
