"""What the formats of Keras share: refuse code in them, free the size of their input, build, and fill in weights."""

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

# Layers that open other files or hold another framework's code; networks for images have no need of them.
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
    """Raise ModelError, naming the layers, if a config of Keras 3 holds Python code, or needs classes of its author."""
    for entry, layer in walk(config):
        name, module = entry["class_name"], entry.get("module")
        if name in _LAMBDA and not trust:
            raise ModelError(
                f"layer {layer!r} is a Lambda: Python code inside the model file, which is not run unless you trust "
                "the file (--trust). Or build the network with a layer of Keras in its place (for a pixel shuffle, "
                "keras.ops.depth_to_space) and save it again; or name the network (--network), and only the weights "
                "are read"
            )
        if name in _OUTSIDE and not trust:
            raise ModelError(f"layer {layer!r} is a {name}, which may open other files; say --trust if you trust it")
        if not _is_known(entry, name, module):
            raise ModelError(
                f"layer {layer!r} is or uses {entry.get('registered_name') or name!r}, which is no part of Keras, and "
                "its code is not in the file. Save the model as a SavedModel (model.export(folder)), which holds the "
                "graph itself, or build it from Keras's own layers"
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
    if module is None:  # as Keras 2 names what is its own
        return any(hasattr(place, name) for place in (keras.layers, keras.activations, keras.initializers, keras))
    return module in ("keras", "builtins") or module.startswith("keras.")


def is_channels_first(config):
    """Return whether the layers of a config take (N, C, H, W)."""
    settings = (entry.get("config") for entry, _ in walk(config))
    return any(isinstance(one, dict) and one.get("data_format") == "channels_first" for one in settings)


def free(config):
    """Return (a copy of the config that takes images of any size, the sizes "HxW" that it was made for).

    What only matters in training goes too: initializers, regularizers, constraints, the loss and half precision.
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
        raise ModelError("this model's description is nested deeper than any network") from error
    try:
        model = keras.saving.deserialize_keras_object(freed, safe_mode=not trust)
    except Exception as error:  # Keras raises whatever its layers raise
        made = f"for images of any size (the file has it for {sizes[0]})" if sizes else ""
        said = f"this network cannot be built {made}: {_brief(error)}".replace(" :", ":")
        raise ModelError(f"{said}{_way_out(config)}") from error
    if not isinstance(model, keras.Model):
        raise ModelError(f"the file holds a {type(model).__name__}, which is no model")
    notes = [f"its input was fixed to {sizes[0]}; it now takes any size"] if sizes else []
    return model, notes


def _way_out(config):
    """Return what to do about the layers of a config that fit one size only, or ""."""
    found = [(layer, entry["class_name"]) for entry, layer in walk(config)]
    layers = [f"{layer!r} ({kind})" for layer, kind in found if kind in ("Flatten", "Reshape")]
    if not layers:
        return ""
    return (
        f". Layers that put all pixels into one row fit one size of image only: {', '.join(layers)}. Use convolutions "
        "there (1x1 in place of Dense), or GlobalAveragePooling2D in place of Flatten, and save the model again"
    )


def network(options, name):
    """Return (Keras model, facts) of the network that ``options`` name for a file of weights. Raises ModelError."""
    if options.network is None:
        raise ModelError(
            f"{name} holds weights without a network: name the one that they belong to and its options "
            f"(--network NAME:scale=2,…); there are {', '.join(sorted(networks.NETWORKS))}"
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
        raise ModelError(f"the network {options.network!r} cannot be built so: {_brief(error)}") from error


def assign(model, found, name):
    """Give ``model`` the weights ``found`` in a file, [(layer, [(weight, array)])]: by layer if it has all the names.

    If the names differ, they belong together by their order.

    Raises ModelError with a table of the layers whose shapes differ; then nothing was assigned.
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
        "Give the options that the network was trained with: scale, channels, widths, depths (--network NAME:scale=2,…)"
    )


def _shapes(shapes):
    return " ".join("x".join(map(str, shape)) or "number" for shape in shapes) or "nothing"


def load_weights(model, path, name, count):
    """Read Keras 3's own file of weights, of which ``count`` arrays are the network's. Raises ModelError."""
    if count != len(model.weights):
        raise ModelError(
            f"{name} holds {count} arrays of weights, but the network {model.name!r} has {len(model.weights)}: give "
            "the options that it was trained with"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Keras only warns where it leaves layers as they are
            model.load_weights(path)
    except Exception as error:
        raise ModelError(f"the weights in {name} do not fit the network {model.name!r}: {_brief(error)}") from error


def original(model, options, name, facts=UNKNOWN, notes=(), *, channels_first=False):
    """Return the Original of a Keras model with the outputs that ``options`` name. Raises ModelError."""
    for weight in model.weights:
        if not np.isfinite(np.asarray(keras.ops.convert_to_numpy(weight), np.float64)).all():
            raise ModelError(f"the weights {weight.path!r} are not all finite numbers: the file is broken")
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
    """Return the Original of a Keras model that a program has made; its input is made free. Raises ModelError."""
    config, notes = keras.saving.serialize_keras_object(model), []
    if any(None not in tensor.shape[1:] for tensor in model.inputs):
        free_model, notes = build(config, trust=True)  # its code has run already
        free_model.set_weights(model.get_weights())
        model = free_model
    return original(model, options, name, notes=notes, channels_first=is_channels_first(config))


def _output(model, name):
    """Return the output of a model that has this name, or else that of the layer called so."""
    named = dict(zip(model.output_names, model.outputs, strict=True))
    if name in named:
        return named[name]
    if name in [layer.name for layer in model.layers]:
        return model.get_layer(name).output
    raise ModelError(f"there is no output {name!r}; there are {', '.join(named)}, and those of the layers")


def _brief(error):
    """Return what an exception says, without the whole configs that Keras puts before and behind it."""
    text = str(error).rpartition("Exception encountered:")[2].partition("Full object config")[0]
    return " ".join(text.split())[:400] or type(error).__name__
