"""The default family: a plain chain of convolutions, trained as collapsible linear blocks.

    x ── conv 5x5 ─ ReLU ── m x [conv 3x3 ─ ReLU] ── conv 3x3 to s² ── + x ── shuffle

Each convolution is trained as an expansion to many channels and a projection back, which merge into one kernel in the
forward pass (so training costs what the plain network costs), plus the identity where the channels allow it:
K = W_expand · W_project + I. Deployed, only K is left.

Bhardwaj et al. 2022, "Collapsible Linear Blocks for Super-Efficient Super Resolution" (SESR);
Zhang et al. 2021, "Edge-oriented Convolution Block" (ECBSR); Berger et al. 2022, "QuickSRNet".
"""

import keras
import numpy as np
from keras import ops

from cvsr_converters.facts import Facts

FACTS = Facts(color="luma", range=1, tail="subpixel", skip="nearest")


@keras.saving.register_keras_serializable("cvsr")
class CollapsibleConv2D(keras.layers.Layer):
    """A stride-1, same-padded convolution whose kernel is the product of an expansion and a projection, plus identity.

    ``expand`` is the number of channels between the two. ``identity`` adds the input (of ``filters`` channels).
    ``zero_mean`` takes its mean over the window from each kernel. Weights, and their product, are float32 in mixed
    precision too.
    """

    def __init__(self, filters, kernel_size, *, expand=128, identity=False, zero_mean=False, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.filters, self.kernel_size, self.expand = filters, kernel_size, expand
        self.identity, self.zero_mean = identity, zero_mean

    def build(self, shape):
        channels, k = shape[-1], self.kernel_size
        self.wide = self.add_weight(name="wide", shape=(k, k, channels, self.expand), initializer="glorot_uniform")
        self.narrow = self.add_weight(name="narrow", shape=(self.expand, self.filters), initializer="glorot_uniform")
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")
        if self.identity:
            if channels != self.filters:
                raise ValueError(f"identity needs equal channels, got {channels} and {self.filters}")
            self.delta = np.zeros((k, k, channels, channels), np.float32)
            self.delta[k // 2, k // 2] = np.eye(channels)

    def kernel(self):
        """Return the merged kernel, of shape (k, k, channels, filters)."""
        merged = ops.tensordot(self.wide, self.narrow, 1)
        if self.zero_mean:
            merged -= ops.mean(merged, (0, 1), keepdims=True)
        return merged + self.delta if self.identity else merged

    def call(self, x):
        x, kernel, bias = (ops.cast(value, self.compute_dtype) for value in (x, self.kernel(), self.bias))
        return ops.conv(x, kernel, padding="same") + bias

    def get_config(self):
        names = ("filters", "kernel_size", "expand", "identity", "zero_mean")
        return super().get_config() | {name: getattr(self, name) for name in names}


def reparam(scale=2, channels=16, blocks=5, expand=128, zero_mean=True):
    """Return the trainable network: luma 0..1 of shape (N, H, W, 1) → residual sub-pixel planes (N, H, W, scale²).

    The picture is shuffle(planes + luma): plane ``r * scale + c`` holds the pixels at row r and column c of each
    scale x scale block.

    ``zero_mean``: the first kernels have no mean and answer to edges, not to brightness, which the sum brings. With a
    mean, its sign decides for all images at once whether a ReLU ever opens, and a network may end with most of the
    first layer closed for good: in a cvsr-large, 58 channels of 64.
    """
    x = keras.Input((None, None, 1), name="luma")
    y = CollapsibleConv2D(channels, 5, name="head", expand=expand, zero_mean=zero_mean)(x)
    y = keras.layers.ReLU()(y)
    for i in range(blocks):
        y = CollapsibleConv2D(channels, 3, identity=True, name=f"body{i}", expand=expand)(y)
        y = keras.layers.ReLU()(y)
    y = CollapsibleConv2D(scale * scale, 3, name="tail", expand=expand)(y)
    return keras.Model(x, y, name="reparam")


def collapse(model):
    """Return the deployed form of ``model``: the same function with one Conv2D for each collapsible block."""
    if not any(isinstance(layer, CollapsibleConv2D) for layer in model.layers):
        return model

    def clone(layer):
        if not isinstance(layer, CollapsibleConv2D):
            return layer.__class__.from_config(layer.get_config() | {"dtype": "float32"})
        return keras.layers.Conv2D(layer.filters, layer.kernel_size, padding="same", name=layer.name)

    plain = keras.models.clone_model(model, clone_function=clone)
    for layer in model.layers:
        if isinstance(layer, CollapsibleConv2D):
            plain.get_layer(layer.name).set_weights(
                [ops.convert_to_numpy(layer.kernel()), ops.convert_to_numpy(layer.bias)]
            )
    return plain
