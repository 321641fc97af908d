"""Very deep: twenty layers that predict what bicubic interpolation lost.

    enlarged ──┬── conv 3x3x64 ─ ReLU ── 18 x [conv 3x3x64 ─ ReLU] ── conv 3x3x1 ── + ── image
               └────────────────────────────────────────────────────────────────────┘

Kim et al. 2016, "Accurate Image Super-Resolution Using Very Deep Convolutional Networks".
"""

import keras

from cvsr_converters.facts import Facts
from cvsr_converters.networks.layers import conv

FACTS = Facts(color="luma", range=1, tail="image", inputs="bicubic")


def vdsr(scale=2, channels=64, depth=20):
    """Return the network: bicubic luma 0..1 of shape (N, H, W, 1) → the same, sharper.

    One network serves several scales, if it is trained with images of all of them: ``scale`` changes nothing in it.
    """
    x = keras.Input((None, None, 1), name="bicubic")
    y = x
    for i in range(depth - 1):
        y = conv(channels, activation="relu", kernel_initializer="he_normal", name=f"conv{i + 1}")(y)
    y = conv(1, kernel_initializer="he_normal", name=f"conv{depth}")(y)
    return keras.Model(x, keras.layers.Add()([x, y]), name="vdsr")
