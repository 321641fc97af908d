"""One convolution used sixteen times over, and an image after each use.

                              ┌──────────┐ D times
    enlarged ── 2 x conv ── conv (shared) ┴── h1 … hD ── each: 2 x conv (shared) ── + enlarged ── image 1 … D
                                                                                                     │
                                                             image = Σ w_d · image d, Σ w_d = 1  ────┘

Kim et al. 2016, "Deeply-Recursive Convolutional Network for Image Super-Resolution".
"""

import keras
from keras import layers, ops

from cvsr_converters.facts import Facts
from cvsr_converters.networks.layers import conv

FACTS = Facts(color="luma", range=1, tail="image", inputs="bicubic")


@keras.saving.register_keras_serializable("cvsr")
class WeightedMean(layers.Layer):
    """The weighted mean of several images of equal shape; the weights are learned, and sum to 1."""

    def build(self, shapes):
        self.weight = self.add_weight(name="weight", shape=(len(shapes),), initializer="ones")

    def call(self, images):
        total = sum(self.weight[i] * image for i, image in enumerate(images))
        return total / ops.sum(self.weight)

    def compute_output_shape(self, shapes):
        return shapes[0]


def drcn(scale=2, channels=256, recursions=16, supervised=False):
    """Return the network: bicubic luma 0..1 of shape (N, H, W, 1) → the same, sharper.

    ``supervised=True`` gives the one to train: a list of the final image and of that after each recursion, which the
    paper's loss draws to the target too. ``scale`` changes nothing in the network.
    """
    x = keras.Input((None, None, 1), name="bicubic")
    h = conv(channels, activation="relu")(conv(channels, activation="relu")(x))
    recursion = conv(channels, activation="relu", kernel_initializer="orthogonal", name="recursion")
    hidden, image = conv(channels, activation="relu"), conv(1)
    images = []
    for _ in range(recursions):
        h = recursion(h)
        images.append(layers.Add()([x, image(hidden(h))]))
    final = WeightedMean()(images)
    return keras.Model(x, [final, *images] if supervised else final, name="drcn")
