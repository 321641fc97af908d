"""HDF5 files of Keras 2 and 3: whole models, or only the weights of a network that the user names."""

import json

from cvsr.errors import ModelError
from cvsr_converters.sources.keras import hdf5_file

TITLE = "Keras HDF5 model or weights (.h5, .hdf5, .weights.h5)"


def matches(path):
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return path.suffix.lower() in (".h5", ".hdf5", ".hdf") or file.read(8) == hdf5_file.SIGNATURE


def read(path, options):
    """Return the Original of a whole model, or of the network in ``options`` with the weights of the file.

    The input accepts any size even if the file fixes one. Raises ModelError.
    """
    with path.open("rb") as raw, hdf5_file.opened(raw, path.name) as file:
        from cvsr_converters.sources.keras import model as keras_model

        if options.network or "model_config" not in file.attrs:
            return _weights(file, path, options)
        config = _config(file, path)
        model, notes = keras_model.build(config, options.trust)
        keras_model.assign(model, hdf5_file.layers(_group(file, path)), path.name)
        first = keras_model.is_channels_first(config)
        return keras_model.original(model, options, path.stem, notes=notes, channels_first=first)


def _weights(file, path, options):
    from cvsr_converters.sources.keras import model as keras_model

    model, facts = keras_model.network(options, path.name)
    if "layer_names" in file.attrs or "layer_names0" in file.attrs or "model_weights" in file:
        keras_model.assign(model, hdf5_file.layers(_group(file, path)), path.name)
    elif path.name.endswith(".weights.h5"):
        keras_model.load_weights(model, path, path.name, hdf5_file.count(file))
    else:
        raise ModelError(f"{path.name} contains no weights of Keras 2 or 3; those of Keras 3 are named NAME.weights.h5")
    return keras_model.original(model, options, path.name.split(".")[0], facts)


def _group(file, path):
    """Return the group that contains the layers' weights."""
    if "model_config" not in file.attrs and "model_weights" not in file:
        return file
    if "model_weights" not in file:
        raise ModelError(f"{path.name} describes a network, but has no weights: save the model again")
    return file["model_weights"]


def _config(file, path):
    """Return the model's config in the form of Keras 3."""
    from cvsr_converters.sources.keras import legacy

    text = file.attrs["model_config"]
    try:
        return legacy.modern(json.loads(text))
    except (ValueError, RecursionError, TypeError) as error:
        raise ModelError(f"{path.name} is broken: its model_config is not valid JSON: {error}") from error
