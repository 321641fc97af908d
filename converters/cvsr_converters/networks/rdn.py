"""Residual dense blocks, and all of their outputs fused.

    image ── conv ──┬── conv ── block 1 ──┬── … ── block 16 ── concat ── conv 1x1 ── conv 3x3 ── +
                    │                     └──────────────────────┘                               │
                    └────────────────────────────────────────────────────────────────────────────┘
                                                                     image ── conv ── shuffle ── conv

    block:  x ── 8 x [conv 3x3x64 ─ ReLU, beside what it read] ── conv 1x1x64 ── + x

Zhang et al. 2018, "Residual Dense Network for Image Super-Resolution".
"""

import keras
from keras import layers

from cvsr_converters.facts import Facts
from cvsr_converters.networks.layers import conv, enlarge

FACTS = Facts(color="rgb", range=255, tail="image")


def block(x, growth, depth):
    """Return ``x`` plus the local fusion of ``depth`` densely connected layers of ``growth`` channels."""
    made = x
    for _ in range(depth):
        made = layers.Concatenate()([made, conv(growth, activation="relu")(made)])
    return layers.Add()([x, conv(x.shape[-1], 1)(made)])


def rdn(scale=2, channels=64, growth=64, blocks=16, depth=8):
    """Return the network: RGB 0..255 of shape (N, H, W, 3) → (N, H·scale, W·scale, 3).

    In the paper's letters: ``blocks`` is D, ``depth`` C, ``growth`` G and ``channels`` G0.
    """
    x = keras.Input((None, None, 3), name="image")
    shallow = conv(channels)(x)
    y, made = conv(channels)(shallow), []
    for _ in range(blocks):
        y = block(y, growth, depth)
        made.append(y)
    y = layers.Concatenate()(made) if blocks > 1 else y
    y = layers.Add()([shallow, conv(channels)(conv(channels, 1)(y))])
    return keras.Model(x, conv(3)(enlarge(y, scale)), name="rdn")
