"""FSRCNN: an hourglass of convolutions at the size of the input, and a transposed convolution that enlarges.

    x ── conv 5x5 to d ── conv 1x1 to s ── m x [conv 3x3 s to s] ── conv 1x1 to d ── deconv 9x9 to C, stride scale
         extract          shrink           map                      expand          enlarge

Each convolution has a PReLU with one slope per channel behind it; the transposed one has none.

Dong, Loy, Tang 2016, "Accelerating the Super-Resolution Convolutional Neural Network": d = 56, s = 12, m = 4, and
FSRCNN-s with d = 32, s = 5, m = 1. Their counts of parameters, 12464 and 3937, are those of the kernels alone at one
channel: neither biases nor slopes. The transposed convolution's kernel is 9x9 for every scale, and so is the count.
"""

import keras

from cvsr_converters.facts import Facts
from cvsr_converters.networks.layers import conv


def FACTS(channels=1, **_):  # noqa: N802 - the name under which every network has them
    """Return what the runtime must know: luma for one channel, Y, Cb and Cr for three; 0..1."""
    return Facts(color="luma" if channels == 1 else "ycbcr", range=1, tail="image")


def fsrcnn(scale=2, channels=1, d=56, s=12, m=4, activation="prelu", map_activation="each", clip=False):
    """Return the network: (N, H, W, channels) in 0..1 → the image enlarged by ``scale``, of the same channels.

    ``activation`` is "prelu" or the name of another. ``map_activation``: "each", one behind each of the m mapping
    layers as in the paper, or "last", only behind the last of them. ``clip`` limits the output to 0..1 inside the
    network. Raises ValueError for another ``map_activation``.
    """
    if map_activation not in ("each", "last"):
        raise ValueError(f"map_activation is {map_activation!r}: it must be each or last")

    def activate(x):
        if activation == "prelu":
            return keras.layers.PReLU(shared_axes=[1, 2])(x)
        return keras.layers.Activation(activation)(x)

    x = image = keras.Input((None, None, channels), name="image")
    x = activate(conv(d, 5)(x))
    x = activate(conv(s, 1)(x))
    for number in range(m):
        x = conv(s, 3)(x)
        if map_activation == "each" or number == m - 1:
            x = activate(x)
    x = activate(conv(d, 1)(x))
    x = keras.layers.Conv2DTranspose(channels, 9, strides=scale, padding="same", name="tail")(x)
    return keras.Model(image, keras.ops.clip(x, 0.0, 1.0) if clip else x, name="fsrcnn")
