"""Shared by the Keras formats: refuse code, make the input size dynamic, build the model, assign its weights."""

import copy
import importlib
import inspect
import warnings

import keras
import numpy as np

from cvsr.errors import ModelError
from cvsr_converters import networks
from cvsr_converters.facts import UNKNOWN
from cvsr_converters.sources.keras import graph

# Layers that open other files or contain another framework's code; image networks do not need them.
_OUTSIDE = frozenset({
    "FlaxLayer", "HashedCrossing", "Hashing", "IntegerLookup", "JaxLayer", "StringLookup", "TFSMLayer",
    "TextVectorization", "TorchModuleWrapper",
})  # fmt: skip
_LAMBDA = frozenset({"Lambda", "__lambda__"})
_FUNCTIONS = (
    "builtins",
    "keras.activations",
    "keras.src.activations",
    "keras.ops",
    "keras.src.ops",
    "keras.src.backend",
)


def walk(config, layer=""):
    """Yield (dict, the name of the layer that it is in) for each dict in a config that describes an object."""
    if isinstance(config, dict):
        if isinstance(config.get("class_name"), str):
            inner = config.get("config")
            named = config.get("name") or (inner.get("name") if isinstance(inner, dict) else None)
            layer = named if isinstance(named, str) else layer
            yield config, layer
        for value in config.values():
            yield from walk(value, layer)
    elif isinstance(config, (list, tuple)):
        for value in config:
            yield from walk(value, layer)


def refuse_code(config, trust=False):
    """Raise ModelError, naming the layers, if a config of Keras 3 has Python code or needs its author's classes."""
    for entry, layer in walk(config):
        name, module = entry["class_name"], entry.get("module")
        if name in _LAMBDA and not trust:
            raise ModelError(
                f"layer {layer!r} is a Lambda: Python code in the model file, which only runs if you trust the file "
                "(--trust). Otherwise, replace it with a Keras layer (for a pixel shuffle, keras.ops.depth_to_space) "
                "and save the model again, or name the network (--network) to read only the weights"
            )
        if name in _OUTSIDE and not trust:
            raise ModelError(f"layer {layer!r} is a {name}, which may open other files; pass --trust if you trust it")
        if not _is_known(entry, name, module):
            raise ModelError(
                f"layer {layer!r} is or uses {entry.get('registered_name') or name!r}, which is not part of Keras, and "
                "its code is not in the file. Save the model as a SavedModel (model.export(folder)), which has the "
                "graph, or build it from Keras's own layers"
            )


def _is_known(entry, name, module):
    """Return whether an object is Keras's own, or one of this package's networks."""
    if not isinstance(module, (str, type(None))):
        return False
    if name.startswith("__"):
        return True
    registered = entry.get("registered_name") or ""
    if registered.startswith("cvsr>"):
        for network in networks.NETWORKS:  # importing one registers its layers
            importlib.import_module(f"cvsr_converters.networks.{network}")
    if keras.saving.get_registered_object(registered):
        return True
    if name == "function":
        return module is not None and module.startswith(_FUNCTIONS)
    if module is None:  # as Keras 2 writes for its own classes
        return any(hasattr(place, name) for place in (keras.layers, keras.activations, keras.initializers, keras))
    return module in ("keras", "builtins") or module.startswith("keras.")


def is_channels_first(config):
    """Return whether the layers of a config expect (N, C, H, W)."""
    settings = (entry.get("config") for entry, _ in walk(config))
    return any(isinstance(one, dict) and one.get("data_format") == "channels_first" for one in settings)


def free(config):
    """Return (a copy of the config that accepts images of any size, the sizes "HxW" that it was fixed to).

    Settings for training are dropped too: initializers, regularizers, constraints, the loss and half precision.
    """
    config = copy.deepcopy(config)
    sides = slice(2, 4) if is_channels_first(config) else slice(1, 3)
    sizes = []
    for entry, _ in walk(config):
        entry.pop("build_config", None)  # shapes of this size; layers are built when they are called
        entry.pop("compile_config", None)
        inner = entry["config"] if isinstance(entry.get("config"), dict) else {}
        for key in [key for key in inner if key.endswith(("_initializer", "_regularizer", "_constraint"))]:
            del inner[key]
        for key in ("batch_shape", "batch_input_shape", "build_input_shape", "input_shape"):
            shape = inner.get(key)
            if isinstance(shape, (list, tuple)) and len(shape) == 4:
                if any(shape[sides]):
                    sizes.append("x".join(map(str, shape[sides])))
                free_shape = [None, *shape[1:]]
                free_shape[sides] = [None, None]
                inner[key] = free_shape
        for key, value in inner.items():
            if key in ("dtype", "name") and str(value).startswith("mixed_"):  # a policy by its name, or the name in one
                inner[key] = "float32"
    return config, sizes


def build(config, trust=False):
    """Return (Keras model, notes) of a config of Keras 3, for images of any size. Raises ModelError."""
    try:
        freed, sizes = free(config)
        refuse_code(freed, trust)
    except RecursionError as error:
        raise ModelError("this model's config is nested too deeply") from error
    try:
        model = keras.saving.deserialize_keras_object(freed, safe_mode=not trust)
    except Exception as error:  # Keras raises whatever its layers raise
        made = f"for images of any size (it is fixed to {sizes[0]})" if sizes else ""
        said = f"this network cannot be built {made}: {_brief(error)}".replace(" :", ":")
        raise ModelError(f"{said}{_way_out(config)}") from error
    if not isinstance(model, keras.Model):
        raise ModelError(f"the file contains a {type(model).__name__}, which is not a model")
    notes = [f"its input was fixed to {sizes[0]}; it now accepts any size"] if sizes else []
    return model, notes


def _way_out(config):
    """Return what to do about layers of a config that fit only one size, or ""."""
    found = [(layer, entry["class_name"]) for entry, layer in walk(config)]
    layers = [f"{layer!r} ({kind})" for layer, kind in found if kind in ("Flatten", "Reshape")]
    if not layers:
        return ""
    return (
        f". Layers that flatten all pixels fit only one image size: {', '.join(layers)}. Use convolutions instead (1x1 "
        "instead of Dense), or GlobalAveragePooling2D instead of Flatten, and save the model again"
    )


def network(options, name):
    """Return (Keras model, facts) of the network that ``options`` name for a weights file. Raises ModelError."""
    if options.network is None:
        raise ModelError(
            f"{name} contains weights but no network: name the network that they belong to and its options "
            f"(--network NAME:scale=2,…); available: {', '.join(sorted(networks.NETWORKS))}"
        )
    arguments = dict(options.network_options)
    if options.network in networks.NETWORKS:
        module = importlib.import_module(f"cvsr_converters.networks.{options.network}")
        scale = inspect.signature(getattr(module, options.network)).parameters.get("scale")
        if scale is not None:
            arguments.setdefault("scale", options.scale or scale.default)
    try:
        return networks.build(options.network, **arguments), networks.facts(options.network, **arguments)
    except (ValueError, TypeError) as error:
        raise ModelError(f"{options.network!r} cannot be built with these options: {_brief(error)}") from error


def assign(model, found, name):
    """Assign the weights ``found`` in a file, [(layer, [(weight, array)])], by layer name, or by order if names differ.

    Raises ModelError with a table of the layers whose shapes differ; then nothing is assigned.
    """
    wanted = [(layer.name, layer.trainable_weights + layer.non_trainable_weights) for layer in model.layers]
    wanted = [(layer, weights) for layer, weights in wanted if weights]
    names = [layer for layer, _ in wanted]
    if sorted(names) == sorted(layer for layer, _ in found):
        found = sorted(found, key=lambda pair: names.index(pair[0]))
    rows = []
    for i in range(max(len(wanted), len(found))):
        (here, weights), (there, arrays) = (pairs[i] if i < len(pairs) else ("", []) for pairs in (wanted, found))
        shapes = [tuple(w.shape) for w in weights], [tuple(a.shape) for _, a in arrays]
        if shapes[0] != shapes[1]:
            rows.append((f"{here or 'no layer'}: {_shapes(shapes[0])}", f"{there or 'no layer'}: {_shapes(shapes[1])}"))
    if rows:
        raise misfit(model, rows, name)
    for (_, weights), (_, arrays) in zip(wanted, found, strict=True):
        for weight, (_, array) in zip(weights, arrays, strict=True):
            weight.assign(np.asarray(array, np.float32))


def misfit(model, rows, name):
    """Return the ModelError for weights that do not fit; ``rows`` are (what the network has, what the file has)."""
    shown = [("the network", "the file"), *rows[:12]]
    width = max(len(left) for left, _ in shown)
    table = "\n  ".join(f"{left:{width}}  {right}" for left, right in shown)
    more = f"\n  and {len(rows) - 12} more" if len(rows) > 12 else ""
    return ModelError(
        f"the weights in {name} do not fit the network {model.name!r}:\n  {table}{more}\n"
        "Pass the options that the network was trained with: scale, channels, widths, depths (--network NAME:scale=2,…)"
    )


def _shapes(shapes):
    return " ".join("x".join(map(str, shape)) or "number" for shape in shapes) or "nothing"


def load_weights(model, path, name, count):
    """Load a weights file of Keras 3, in which ``count`` arrays are the network's. Raises ModelError."""
    if count != len(model.weights):
        raise ModelError(
            f"{name} contains {count} weight arrays, but the network {model.name!r} has {len(model.weights)}: pass "
            "the options that it was trained with"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Keras only warns if it skips layers
            model.load_weights(path)
    except Exception as error:
        raise ModelError(f"the weights in {name} do not fit the network {model.name!r}: {_brief(error)}") from error


def original(model, options, name, facts=UNKNOWN, notes=(), *, channels_first=False):
    """Return the Original of a Keras model with the outputs that ``options`` name. Raises ModelError."""
    for weight in model.weights:
        if not np.isfinite(np.asarray(keras.ops.convert_to_numpy(weight), np.float64)).all():
            raise ModelError(f"the weights {weight.path!r} are not all finite: the file is broken")
    if options.outputs:
        model = keras.Model(model.inputs, [_output(model, output) for output in options.outputs])
    layout = "NCHW" if channels_first else "NHWC"
    channels = None
    if channels_first and len(model.inputs) == 1:
        channels = model.inputs[0].shape[1]
    try:
        return graph.original(model, channels, name=name, layout=layout, facts=facts, notes=notes)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"the network does not run on an image of 16x24: {_brief(error)}") from error


def in_memory(model, options, name):
    """Return the Original of a Keras model in memory; its input size becomes dynamic. Raises ModelError."""
    config, notes = keras.saving.serialize_keras_object(model), []
    if any(None not in tensor.shape[1:] for tensor in model.inputs):
        free_model, notes = build(config, trust=True)  # its code has run already
        free_model.set_weights(model.get_weights())
        model = free_model
    return original(model, options, name, notes=notes, channels_first=is_channels_first(config))


def _output(model, name):
    """Return the output of a model with this name, or else that of the layer with this name."""
    named = dict(zip(model.output_names, model.outputs, strict=True))
    if name in named:
        return named[name]
    if name in [layer.name for layer in model.layers]:
        return model.get_layer(name).output
    raise ModelError(f"there is no output {name!r}; available: {', '.join(named)}, and any layer's output")


def _brief(error):
    """Return an exception's message without the whole configs that Keras puts before and after it."""
    text = str(error).rpartition("Exception encountered:")[2].partition("Full object config")[0]
    return " ".join(text.split())[:400] or type(error).__name__
