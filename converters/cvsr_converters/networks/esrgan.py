"""Residual-in-residual dense blocks, trained against a discriminator that compares.

    image ── conv ──┬── 23 x RRDB ── conv ── + ── 2 x [nearest x2 ── conv ─ LeakyReLU]
                    └────────────────────────┘    ── conv ─ LeakyReLU ── conv ── image

    RRDB:   x ── 3 x dense ── x 0.2 ── + x
    dense:  x ── 4 x [conv 3x3x32 ─ LeakyReLU, beside what it read] ── conv 3x3x64 ── x 0.2 ── + x

Wang et al. 2018, "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks".
"""

import keras
from keras import layers, ops

from cvsr_converters.facts import Facts
from cvsr_converters.networks.layers import conv, steps
from cvsr_converters.networks.srgan import discriminator

__all__ = ["FACTS", "adversarial_losses", "discriminator", "esrgan"]

FACTS = Facts(color="rgb", range=1, tail="image")


def dense(x, growth, residual=0.2):
    """Return ``x`` plus a part of what five densely connected convolutions make of it."""
    made = x
    for _ in range(4):
        made = layers.Concatenate()([made, layers.LeakyReLU(0.2)(conv(growth)(made))])
    return layers.Add()([x, layers.Rescaling(residual)(conv(x.shape[-1])(made))])


def rrdb(x, growth, residual=0.2):
    """Return ``x`` plus a part of what three dense blocks make of it."""
    y = x
    for _ in range(3):
        y = dense(y, growth, residual)
    return layers.Add()([x, layers.Rescaling(residual)(y)])


def esrgan(scale=4, channels=64, growth=32, blocks=23, residual=0.2):
    """Return the generator: RGB 0..1 of shape (N, H, W, 3) → (N, H·scale, W·scale, 3)."""
    x = keras.Input((None, None, 3), name="image")
    head = conv(channels)(x)
    y = head
    for _ in range(blocks):
        y = rrdb(y, growth, residual)
    y = layers.Add()([head, conv(channels)(y)])
    for step in steps(scale):
        y = layers.LeakyReLU(0.2)(conv(channels)(layers.UpSampling2D(step)(y)))
    y = conv(3)(layers.LeakyReLU(0.2)(conv(channels)(y)))
    return keras.Model(x, y, name="esrgan")


def adversarial_losses(real, fake):
    """Return (the generator's loss, the discriminator's) of what the discriminator says of real and made-up images.

    Both are scalars. Relativistic average: is an image more real than those of the other kind are on average?
    """

    def entropy(label, logits):
        return ops.mean(ops.binary_crossentropy(label * ops.ones_like(logits), logits, from_logits=True))

    truth, lie = real - ops.mean(fake), fake - ops.mean(real)
    return entropy(0.0, truth) + entropy(1.0, lie), entropy(1.0, truth) + entropy(0.0, lie)
