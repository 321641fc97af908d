"""What a network is asked: how its facts turn batches of pictures into its inputs, and its outputs into pictures."""

import keras
import tensorflow as tf

from cvsr_converters import networks
from cvsr_converters.facts import DEFAULTS
from cvsr_converters.training.data import Wanted
from cvsr_converters.training.precision import computing


def built(network, precision="float32"):
    """Return the Keras model of a recipe's ``[network]``; in "bfloat16" all but its last layers compute in that.

    The last convolutions, and what follows them, hold the picture itself, which bfloat16 would round to 8 bits.
    """
    options = {k: v for k, v in network.items() if k != "name"}
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    with computing(precision):
        model = networks.build(network["name"], **options)
    if precision != "float32":
        model.dtype_policy = "float32"
        for layer in _last(model):
            layer.dtype_policy = "float32"
    return model


def _last(model):
    """Return the layers from each output back to the first convolution before it, that one included."""
    found, todo = [], list(model.outputs)
    while todo:
        layer = todo.pop()._keras_history.operation
        if layer in found or isinstance(layer, keras.layers.InputLayer):
            continue
        found.append(layer)
        if not hasattr(layer, "kernel_size"):
            todo += [tensor for node in layer._inbound_nodes for tensor in node.input_tensors]
    return found


class Task:
    """A recipe's network between pictures: RGB or luma of 0..1, float32 (N, H, W, C).

    ``scales``: those it is trained for one after the other (MDSR); ``levels``: those that it gives at once (LapSRN).
    """

    def __init__(self, network):
        scale = network["scale"]
        self.scales = tuple(scale) if isinstance(scale, list | tuple) else (scale,)
        self.several = len(self.scales) > 1
        self.facts = DEFAULTS | networks.facts(**network)
        if self.facts.color not in ("luma", "rgb") or self.facts.inputs not in ("image", "bicubic"):
            raise ValueError(f"{network['name']} takes {self.facts.color}: training gives luma or RGB, of one image")

    def wanted(self, model):
        """Return {scale: what the pairs for it must hold}."""
        levels = ()
        if isinstance(model.output, dict) and not self.several:
            levels = tuple(sorted(int(name[1:]) for name in model.output))
        return {scale: Wanted(scale, self.facts.color, self.facts.inputs == "bicubic", levels) for scale in self.scales}

    def function(self, model, scale):
        """Return a function (batch, training) → {"x2": pictures, …} of the model's path for ``scale``."""
        path = keras.Model(model.input, model.output[f"x{scale}"]) if self.several else model
        mean, white = self.facts.mean or (0.0,), self.facts.range

        def run(batch, training=False):
            low = batch["low"]
            fed = (batch["enlarged"] if self.facts.inputs == "bicubic" else low) * white - mean
            made = path(fed, training=training)
            made = made if isinstance(made, dict) else {f"x{scale}": made}
            return {name: self._picture(tf.cast(v, tf.float32), fed, int(name[1:])) for name, v in made.items()}

        return run

    def _picture(self, made, fed, scale):
        if self.facts.tail == "subpixel":
            made = tf.nn.depth_to_space(made + fed if self.facts.skip == "nearest" else made, scale)
        return (made + (self.facts.mean or (0.0,))) / self.facts.range
