"""Two sizes of kernel side by side in each block, and the outputs of all blocks fused.

    image ── conv ──┬── block 1 ──┬── … ── block 8 ── concat ── conv 1x1 ── conv 3x3 to 64·s² ─ shuffle ── conv ── image
                    └─────────────┴───────────────────┘

    block:  x ──┬── conv 3x3 ─ ReLU ──┬ concat ┬── conv 3x3 ─ ReLU ──┬ concat ── conv 1x1 ── + x
                └── conv 5x5 ─ ReLU ──┘        └── conv 5x5 ─ ReLU ──┘

Li et al. 2018, "Multi-scale Residual Network for Image Super-Resolution".
"""

import keras
from keras import layers

from cvsr_converters.networks.edsr import FACTS
from cvsr_converters.networks.layers import PixelShuffle, conv

__all__ = ["FACTS", "msrn"]


def block(x):
    """Return ``x`` plus what two stages of 3x3 and 5x5 kernels side by side make of it."""
    y, channels = x, x.shape[-1]
    for width in (channels, 2 * channels):
        y = layers.Concatenate()([conv(width, size, activation="relu")(y) for size in (3, 5)])
    return layers.Add()([x, conv(channels, 1)(y)])


def msrn(scale=2, channels=64, blocks=8):
    """Return the network: RGB 0..255 less the mean, of shape (N, H, W, 3) → (N, H·scale, W·scale, 3)."""
    x = keras.Input((None, None, 3), name="image")
    made = [conv(channels)(x)]
    for _ in range(blocks):
        made.append(block(made[-1]))
    y = conv(channels, 1)(layers.Concatenate()(made))
    y = PixelShuffle(scale)(conv(channels * scale**2)(y))
    return keras.Model(x, conv(3)(y), name="msrn")
