"""Residual blocks without batch normalisation, and many channels.

    image ── conv 3x3 ──┬── 16 x block ── conv 3x3 ── + ── conv ─ shuffle ── conv 3x3 ── image
                        └─────────────────────────────┘

    block:  x ──┬── conv 3x3 ─ ReLU ── conv 3x3 ── x residual ── +
                └────────────────────────────────────────────────┘

Lim et al. 2017, "Enhanced Deep Residual Networks for Single Image Super-Resolution". The default is its baseline;
the full network is ``edsr(channels=256, blocks=32, residual=0.1)``.
"""

import keras
from keras import layers

from cvsr_converters.facts import Facts
from cvsr_converters.networks.layers import conv, enlarge

MEAN = (114.444, 111.4605, 103.02)  # of DIV2K, red first
FACTS = Facts(color="rgb", range=255, mean=MEAN, tail="image")


def block(x, size=3, residual=1.0):
    """Return ``x`` plus ``residual`` times what two convolutions of it give."""
    y = conv(x.shape[-1], size)(conv(x.shape[-1], size, activation="relu")(x))
    return layers.Add()([x, y if residual == 1 else layers.Rescaling(residual)(y)])


def edsr(scale=2, channels=64, blocks=16, residual=1.0):
    """Return the network: RGB 0..255 less the mean, of shape (N, H, W, 3) → (N, H·scale, W·scale, 3).

    ``residual`` scales what each block adds: 0.1 keeps the training of wide networks stable.
    """
    x = keras.Input((None, None, 3), name="image")
    head = conv(channels)(x)
    y = head
    for _ in range(blocks):
        y = block(y, residual=residual)
    y = layers.Add()([head, conv(channels)(y)])
    return keras.Model(x, conv(3)(enlarge(y, scale)), name="edsr")
