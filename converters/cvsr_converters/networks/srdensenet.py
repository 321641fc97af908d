"""Dense blocks: each layer reads what all layers before it in its block have made.

    image ── conv ──┬── block ──┬── … ──┬── block 8 ── concat ── conv 1x1x256 ── 2 x deconv 3x3 (x2) ── conv ── image
                    └───────────┴───────┴─────────────────┘

    block:  x ── conv 3x3x16 ──┬── conv 3x3x16 ──┬── … 8 layers ── concat (128 channels)
                               └─────────────────┴───────────────────┘

Tong et al. 2017, "Image Super-Resolution Using Dense Skip Connections": the variant SRDenseNet_All.
"""

import keras
from keras import layers

from cvsr_converters.facts import Facts
from cvsr_converters.networks.layers import conv, steps

FACTS = Facts(color="luma", range=1, tail="image")


def block(x, growth, depth):
    """Return what ``depth`` layers give, side by side: each has ``growth`` channels and reads all before it."""
    made = conv(growth, activation="relu")(x)
    for _ in range(depth - 1):
        made = layers.Concatenate()([made, conv(growth, activation="relu")(made)])
    return made


def srdensenet(scale=4, growth=16, blocks=8, depth=8, bottleneck=256):
    """Return the network: luma 0..1 of shape (N, H, W, 1) → (N, H·scale, W·scale, 1)."""
    x = keras.Input((None, None, 1), name="image")
    made = [conv(growth * depth, activation="relu")(x)]
    for _ in range(blocks):
        made.append(block(made[-1], growth, depth))
    y = conv(bottleneck, 1, activation="relu")(layers.Concatenate()(made))
    for step in steps(scale):
        y = layers.Conv2DTranspose(bottleneck, 3, strides=step, padding="same", activation="relu")(y)
    return keras.Model(x, conv(1)(y), name="srdensenet")
