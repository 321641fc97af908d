"""Residual blocks with batch normalisation; the generator of SRGAN, trained for PSNR.

    image ── conv 9x9 ─ PReLU ──┬── 16 x block ── conv 3x3 ─ BN ── + ── 2 x [conv ─ shuffle 2 ─ PReLU] ── conv 9x9
                                └──────────────────────────────────┘

    block:  x ──┬── conv 3x3 ─ BN ─ PReLU ── conv 3x3 ─ BN ── +
                └─────────────────────────────────────────────┘

Ledig et al. 2017, "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network".
"""

import keras
from keras import layers

from cvsr_converters.facts import Facts
from cvsr_converters.networks.layers import BatchNormalization, conv, enlarge

FACTS = Facts(color="rgb", range=1, tail="image")


def prelu():
    """Return a PReLU with one slope per channel."""
    return layers.PReLU(shared_axes=[1, 2])


def block(x):
    """Return ``x`` plus what two normalised convolutions of it give."""
    y = BatchNormalization()(conv(x.shape[-1])(x))
    y = BatchNormalization()(conv(x.shape[-1])(prelu()(y)))
    return layers.Add()([x, y])


def srresnet(scale=4, channels=64, blocks=16, ends=9):
    """Return the network: RGB 0..1 of shape (N, H, W, 3) → (N, H·scale, W·scale, 3).

    ``ends``: the size of the first and the last kernel.
    """
    x = keras.Input((None, None, 3), name="image")
    head = prelu()(conv(channels, ends)(x))
    y = head
    for _ in range(blocks):
        y = block(y)
    y = layers.Add()([head, BatchNormalization()(conv(channels)(y))])
    y = conv(3, ends)(enlarge(y, scale, prelu))
    return keras.Model(x, y, name="srresnet")
