"""The second stage of GAN training: a discriminator that learns beside the generator."""

import keras
import tensorflow as tf

from cvsr_converters.networks.srgan import discriminator
from cvsr_converters.training import losses
from cvsr_converters.training.muon import Adam
from cvsr_converters.training.precision import computing


class Adversary:
    """A discriminator, its optimizer, and the terms of the generator's loss that come of it.

    ``weights``: {"relativistic": 0.005, "features": 1.0}: one adversarial loss, and if wanted the mean absolute
    distance between the discriminator's features of the real and the made picture, which stands in for a content loss
    where there is no pretrained extractor (feature matching: Salimans et al. 2016, "Improved Techniques for Training
    GANs"; Wang et al. 2018, "pix2pixHD"). ``precision``: what its convolutions compute in.
    """

    def __init__(self, size, weights, options, precision="float32"):
        options = dict(options)
        self.factor = options.pop("lr", 1.0)  # of the generator's learning rate
        with computing(precision):
            model = discriminator(size=size, **options)
        self.compared = [layer.output for layer in model.layers if isinstance(layer, keras.layers.Conv2D)][1:]
        self.model = keras.Model(model.input, [model.output, *self.compared])
        (self.kind,) = (k for k in weights if k in losses.ADVERSARIAL)
        self.weight, self.features = weights[self.kind], weights.get("features", 0.0)
        self.optimizer = Adam(model.trainable_variables)
        self.state = tf.train.Checkpoint(model=model, optimizer=self.optimizer)

    def opinion(self, real, made):
        """Return the generator's loss for pictures of 0..1."""
        (truth, *there), (lie, *here) = self._seen(real, made)
        value = self.weight * losses.ADVERSARIAL[self.kind](truth, lie)[0]
        if self.features:
            value += self.features * tf.add_n([losses.l1(a, b) for a, b in zip(there, here, strict=True)])
        return value

    def learn(self, real, made):
        """Take one step of the discriminator's own."""
        with tf.GradientTape() as tape:
            (truth, *_), (lie, *_) = self._seen(real, made)
            loss = losses.ADVERSARIAL[self.kind](truth, lie)[1]
        self.optimizer.apply(tape.gradient(loss, self.model.trainable_variables))

    def _seen(self, real, made):
        return [[tf.cast(each, tf.float32) for each in self.model(seen, training=True)] for seen in (real, made)]

    def set_rate(self, rate):
        """Set the learning rate, given the generator's."""
        self.optimizer.set_rate(rate * self.factor)


def made(recipe, loss):
    """Return the Adversary that a recipe asks for, or None."""
    if not any(name in losses.ADVERSARIAL for name in loss.adversarial):
        return None
    size = recipe["data"]["patch"] * recipe["network"]["scale"] - losses.SHIFT
    precision = recipe.get("precision", "float32")
    return Adversary(size, loss.adversarial, recipe.get("discriminator", {}), precision)
