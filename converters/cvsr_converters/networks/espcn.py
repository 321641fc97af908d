"""ESPCN: convolutions at the size of the input, and the pixels put in place by a shuffle at the end.

    x ── conv 5x5 to 64 ─ tanh ── conv 3x3 to 32 ─ tanh ── conv 3x3 to C·s² ── shuffle

Shi et al. 2016, "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural
Network": one channel (luma), f = 5, 3, 3 and n = 64, 32. With three channels, which are Y, Cb and Cr in this order, it
is the variant that enlarges the color as well.
"""

import keras

from cvsr_converters.facts import Facts
from cvsr_converters.networks.layers import PixelShuffle, conv


def FACTS(channels=1, **_):  # noqa: N802 - the name under which every network has them
    """Return what the runtime must know: luma for one channel, Y, Cb and Cr for three; 0..1."""
    return Facts(color="luma" if channels == 1 else "ycbcr", range=1, tail="image")


def espcn(scale=2, channels=1, widths=(64, 32), sizes=(5, 3, 3), activation="tanh", clip=False):
    """Return the network: (N, H, W, channels) in 0..1 → the image enlarged by ``scale``, of the same channels.

    ``widths`` are the channels of the layers before the last, ``sizes`` the kernels of all of them. ``clip`` limits the
    output to 0..1 inside the network.
    """
    x = image = keras.Input((None, None, channels), name="image")
    for width, size in zip(widths, sizes[:-1], strict=True):
        x = conv(width, size, activation=activation)(x)
    x = PixelShuffle(scale)(conv(channels * scale**2, sizes[-1], name="tail")(x))
    return keras.Model(image, keras.ops.clip(x, 0.0, 1.0) if clip else x, name="espcn")
