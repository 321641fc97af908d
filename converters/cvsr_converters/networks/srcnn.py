"""The first convolutional network for super-resolution: three layers on an image already enlarged.

    enlarged ── conv 9x9x64 ─ ReLU ── conv 1x1x32 ─ ReLU ── conv 5x5x1 ── image
                (patches)             (mapping)             (reconstruction)

Dong et al. 2014/2016, "Image Super-Resolution Using Deep Convolutional Networks". The paper's names are the sizes of
the kernels: 9-1-5 is the default, 9-5-5 the best of its nets.
"""

import keras

from cvsr_converters.facts import Facts

FACTS = Facts(color="luma", range=1, tail="image", inputs="bicubic")


def srcnn(scale=2, kernels=(9, 1, 5), channels=(64, 32), padding="same", initializer="glorot_uniform"):
    """Return the network: bicubic luma 0..1 of shape (N, H, W, 1) → the same, sharper.

    Trained for one ``scale``, though the network is the same for all. ``padding="valid"``, as the paper trains it, cuts
    off the borders. The paper draws weights from a normal distribution of deviation 0.001.
    """
    x = keras.Input((None, None, 1), name="bicubic")
    y = x
    for i, (size, filters) in enumerate(zip(kernels, (*channels, 1), strict=True)):
        activation = "relu" if i < len(channels) else None
        options = {"padding": padding, "kernel_initializer": initializer, "name": f"conv{i + 1}"}
        y = keras.layers.Conv2D(filters, size, activation=activation, **options)(y)
    return keras.Model(x, y, name="srcnn")
