"""The topology of a TF.js layers model, which is that of Keras 2 in JSON → a Keras model for any image size.

A custom layer is JavaScript that is not in the file, so it must be defined here. To add one, write it as a Keras layer
with ``@keras.saving.register_keras_serializable("cvsr")``, and add a line to CUSTOM: the pattern of its class names,
and a function from its config and the pattern's match to (the Keras class, its arguments).
"""

import copy
import math
import re

import keras
import tensorflow as tf

from cvsr.errors import ModelError
from cvsr_converters.sources.keras import legacy
from cvsr_converters.sources.keras import model as keras_model

_MODELS = ("Functional", "Model", "Sequential")


@keras.saving.register_keras_serializable("cvsr")
class TfjsPixelShuffle(keras.layers.Layer):
    """Depth to space by ``scale``, or by the factor that leaves three channels."""

    def __init__(self, scale=None, **options):
        super().__init__(**options)
        self.scale = scale

    def call(self, x):
        return tf.nn.depth_to_space(x, self.scale or math.isqrt(x.shape[-1] // 3))


@keras.saving.register_keras_serializable("cvsr")
class TfjsMultiplyBeta(keras.layers.Layer):
    """A residual times ``beta``."""

    def __init__(self, beta=0.2, **options):
        super().__init__(**options)
        self.beta = beta

    def call(self, x):
        return x * self.beta


@keras.saving.register_keras_serializable("cvsr")
def tfjs_hard_sigmoid(x):
    """Return Keras 2's and TF.js's hard sigmoid; in Keras 3, another function has this name."""
    return keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)


# The layers of UpscalerJS's models, which come from idealo: the file has only their names, such as PixelShuffle2x.
CUSTOM = {
    r"MultiplyBeta": lambda config, _: (TfjsMultiplyBeta, {"beta": config.get("beta", 0.2)}),
    r"(PixelShuffle|DepthToSpace)(\d)?x?": lambda config, match: (
        TfjsPixelShuffle,
        {"scale": config.get("scale") or config.get("block_size") or int(match[2] or 0) or None},
    ),
}
_OWN = {one.__name__ for one in (TfjsPixelShuffle, TfjsMultiplyBeta)}


def build(topology, trust=False):
    """Return (Keras model, notes) of {"class_name": …, "config": …}; raise ModelError, naming what is not supported."""
    topology, notes = copy.deepcopy(topology), []
    try:
        if topology["class_name"] not in _MODELS:
            raise ModelError(f"its topology is a {topology['class_name']!r}, not one of {', '.join(_MODELS)}")
        _prepare(topology, notes)
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"its topology is not valid in TF.js: {error!r}") from error
    config = legacy.modern(topology)
    for entry, _ in keras_model.walk(config):
        if entry["class_name"] in _OWN:
            entry["registered_name"] = f"cvsr>{entry['class_name']}"
    model, more = keras_model.build(config, trust)
    return model, notes + more


def _prepare(model, notes):
    """Convert a model's entry and those of its layers to the form that Keras 2 writes, in place."""
    if isinstance(model["config"], list):
        model["config"] = {"layers": model["config"]}
    model["config"].setdefault("name", model["class_name"].lower())
    for entry in model["config"]["layers"]:
        config = entry["config"]
        if entry["class_name"] in _MODELS:
            _prepare(entry, notes)
            continue
        _replace(entry)
        if entry["class_name"] != "InputLayer":
            config.setdefault("trainable", True)  # distinguishes layers from operations of the same name
        shape = config.get("batch_input_shape")
        if isinstance(shape, list) and len(shape) == 4:
            if any(shape[1:3]):
                notes.append(f"its input was fixed to {shape[1]}x{shape[2]}; it now accepts any size")
            config["batch_input_shape"] = [None, None, None, shape[3]]
        if config.get("activation") == "hard_sigmoid":
            name = "cvsr>tfjs_hard_sigmoid"
            config["activation"] = {
                "module": "builtins", "class_name": "function", "config": name, "registered_name": name
            }  # fmt: skip


def _replace(entry):
    """Replace a custom layer in its entry with the Keras layer for it; raise ModelError for an unknown layer."""
    kind, config = entry["class_name"], entry["config"]
    for pattern, make in CUSTOM.items():
        if match := re.fullmatch(pattern, kind):
            cls, arguments = make(config, match)
            entry["class_name"], entry["config"] = cls.__name__, {"name": config.get("name"), **arguments}
            return
    if not hasattr(keras.layers, kind):
        raise ModelError(
            f"layer {config.get('name', '')!r} is a {kind}, which is not a Keras layer, and the code of custom layers "
            "is not in the file. Add it to CUSTOM in cvsr_converters/sources/tfjs/layers.py, or convert the Keras "
            "model that this one was made from"
        )
