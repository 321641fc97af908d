"""The weights of a TF.js model: raw shards, described by the manifest in its ``model.json``."""

import math
from pathlib import PurePosixPath

import numpy as np

from cvsr.errors import ModelError

_TYPES = {"float32": "<f4", "float16": "<f2", "int32": "<i4", "uint8": "u1", "uint16": "<u2", "bool": "?"}


def read_weights(manifest, folder):
    """Return {name: float32 array} of all weights, dequantized; raise ModelError if manifest and files disagree."""
    weights = {}
    for group in _list(manifest, "weightsManifest"):
        specs = [_spec(entry) for entry in _list(group.get("weights"), "weights")]
        size = sum(math.prod(shape) * dtype.itemsize for _, shape, dtype, _ in specs)
        files = [_file(path, folder) for path in _list(group.get("paths"), "paths")]
        held = sum(file.stat().st_size for file in files)
        if size != held:
            raise ModelError(
                f"model.json lists {size} bytes of weights in {', '.join(file.name for file in files)}, but they "
                f"have {held}: a shard is truncated or belongs to another model"
            )
        data, at = b"".join(file.read_bytes() for file in files), 0
        for name, shape, dtype, (scale, offset) in specs:
            count = math.prod(shape)
            array = np.frombuffer(data, dtype, count, at).reshape(shape).astype(np.float32)
            weights[name] = array * np.float32(scale) + np.float32(offset) if (scale, offset) != (1, 0) else array
            at += count * dtype.itemsize
    return weights


def _list(value, what):
    if not isinstance(value, list):
        raise ModelError(f"model.json is broken: {what} is not a list")
    return value


def _spec(entry):
    """Return (name, shape, dtype as stored, (scale, offset)) of an entry of the manifest."""
    try:
        name, shape, stored = (
            entry["name"],
            tuple(entry["shape"]),
            entry.get("quantization") or {"dtype": entry["dtype"]},
        )
        dtype = np.dtype(_TYPES[stored["dtype"]])
        scale, offset = float(stored.get("scale", 1)), float(stored.get("min", 0))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"model.json has an invalid weight entry ({error!r}): {entry}") from error
    if any(type(n) is not int or n < 0 for n in shape):
        raise ModelError(f"model.json gives the weight {name!r} an invalid shape, {list(shape)}")
    return name, shape, dtype, (scale, offset)


def _file(path, folder):
    """Return the shard ``path`` in ``folder``; raise ModelError if it is missing or elsewhere."""
    parts = PurePosixPath(str(path))
    if parts.is_absolute() or ".." in parts.parts or "\\" in str(path) or ":" in str(path):
        raise ModelError(f"model.json names a shard outside its own folder: {path}")
    file = folder / parts
    if not file.is_file():
        raise ModelError(f"the shard {path} is not beside model.json: copy all files of the model into one folder")
    return file


def assign(model, weights):
    """Assign the weights to the layers of a Keras model by name; return the unused names. Raises ModelError.

    ``weights`` are {"layer/kernel": array}, possibly with scopes before or after the layer.
    """
    left = dict(weights)
    for layer in _leaves(model):
        for variable in layer.variables:
            if variable.name == "seed_generator_state":
                continue
            name = _find(layer.name, variable.name, weights)
            if name is None:
                raise ModelError(f"model.json has no weight {variable.name!r} for the layer {layer.name!r}")
            if weights[name].shape != tuple(variable.shape):
                raise ModelError(
                    f"the weight {name!r} is {list(weights[name].shape)}, but its layer needs {list(variable.shape)}"
                )
            variable.assign(weights[name])
            left.pop(name, None)
    return list(left)


def _leaves(model):
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from _leaves(layer)
        else:
            yield layer


def _find(layer, variable, weights):
    """Return the key of a layer's weight; some names differ between Keras 2 and 3."""
    for last in (variable, f"depthwise_{variable}"):
        if f"{layer}/{last}" in weights:
            return f"{layer}/{last}"
        scoped = [name for name in weights if name.split("/")[-1] == last and layer in name.split("/")[:-1]]
        if len(scoped) == 1:
            return scoped[0]
    return None
