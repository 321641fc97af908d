"""Residual units that share their weights: deep as 52 layers, small as five.

    enlarged ──┬── B x block ── BN ─ ReLU ─ conv 3x3x1 ── + ── image
               └──────────────────────────────────────────┘

    block:  x ── BN ─ ReLU ─ conv ──┬── U x [ BN ─ ReLU ─ conv 1 ── BN ─ ReLU ─ conv 2 ── + h ]
                                    h   (conv 1 and conv 2 are the same in all U units)

Tai et al. 2017, "Image Super-Resolution via Deep Recursive Residual Network". B1U9 is the default, B1U25 its best net.
"""

import keras
from keras import layers

from cvsr_converters.facts import Facts
from cvsr_converters.networks.layers import BatchNormalization, conv

FACTS = Facts(color="luma", range=1, tail="image", inputs="bicubic")


def drrn(scale=2, channels=128, blocks=1, units=9, normalised=True):
    """Return the network: bicubic luma 0..1 of shape (N, H, W, 1) → the same, sharper.

    The convolutions share their weights, the normalisations before them do not: their statistics differ from unit to
    unit. ``normalised=False`` has none of them, trains in half the time, and starts as the identity, which it needs
    where nothing keeps the sums of many units in bounds. ``scale`` changes nothing in the network.
    """
    closing = "he_normal" if normalised else "zeros"

    def activated(x):
        return layers.ReLU()(BatchNormalization()(x) if normalised else x)

    def shared(initializer="he_normal"):
        return conv(channels, kernel_initializer=initializer)

    x = keras.Input((None, None, 1), name="bicubic")
    y = x
    for _ in range(blocks):
        h = y = shared()(activated(y))
        first, second = shared(), shared(closing)
        for _ in range(units):
            y = layers.Add()([h, second(activated(first(activated(y))))])
    y = conv(1, kernel_initializer=closing)(activated(y))
    return keras.Model(x, layers.Add()([x, y]), name="drrn")
