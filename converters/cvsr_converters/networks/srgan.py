"""The generator of SRResNet, and the network that it is trained against.

    image ── srresnet ── enlarged image ── discriminator ── real, or made up?

    discriminator:  conv 64 ── [conv, stride 2 ── conv of twice the channels] x 3 ── conv, stride 2
                    ── dense 1024 ── dense 1          (LeakyReLU after each; BN between, but for the first)

Ledig et al. 2017, "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network".
"""

import keras
from keras import layers

from cvsr_converters.networks.layers import BatchNormalization, conv
from cvsr_converters.networks.srresnet import FACTS, srresnet

__all__ = ["FACTS", "discriminator", "srgan"]


def srgan(scale=4, channels=64, blocks=16, ends=9):
    """Return the generator: RGB 0..1 of shape (N, H, W, 3) → (N, H·scale, W·scale, 3); it is SRResNet."""
    model = srresnet(scale, channels, blocks, ends)
    return keras.Model(model.input, model.output, name="srgan")


def discriminator(size=96, channels=64, stages=4, dense=1024):
    """Return the discriminator: RGB 0..1 of shape (N, size, size, 3) → (N, 1), positive where it takes it for real.

    That is before the sigmoid: train with ``BinaryCrossentropy(from_logits=True)``.
    """
    x = keras.Input((size, size, 3), name="image")
    y = layers.LeakyReLU(0.2)(conv(channels)(x))
    for stage in range(stages):
        if stage:
            y = _normalised(conv(channels * 2**stage)(y))
        y = _normalised(conv(channels * 2**stage, strides=2)(y))
    y = layers.LeakyReLU(0.2)(layers.Dense(dense)(layers.Flatten()(y)))
    return keras.Model(x, layers.Dense(1)(y), name="discriminator")


def _normalised(x):
    return layers.LeakyReLU(0.2)(BatchNormalization()(x))
