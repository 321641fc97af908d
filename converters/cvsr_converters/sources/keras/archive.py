"""``.keras`` files: the zip archives of Keras 3, and of Keras 2 since 2.12."""

import io
import json
import tempfile
import zipfile
from pathlib import Path

from cvsr.errors import ModelError
from cvsr_converters.facts import UNKNOWN
from cvsr_converters.sources.keras import hdf5_file

TITLE = "Keras model (.keras)"
_CONFIG, _WEIGHTS, _METADATA = "config.json", "model.weights.h5", "metadata.json"
_RATIO = 100  # Keras does not compress, so no model expands this many times
_LARGEST_TEXT = 1 << 26


def matches(path):
    """Return whether ``path`` is a .keras file that is not HDF5, which Keras 2 could also write under this suffix."""
    if not path.is_file() or path.suffix.lower() != ".keras":
        return False
    with path.open("rb") as file:
        return file.read(8) != hdf5_file.SIGNATURE


def read(path, options):
    """Return the Original of a ``.keras`` file; its input accepts any size even if the file fixes one."""
    config, weights, version = _members(path)
    from cvsr_converters.sources.keras import legacy
    from cvsr_converters.sources.keras import model as keras_model

    if options.network:
        model, facts = keras_model.network(options, path.name)
        notes, first = [], False
    else:
        config = legacy.modern(config) if version.startswith("2.") else config
        (model, notes), facts = keras_model.build(config, options.trust), UNKNOWN
        first = keras_model.is_channels_first(config)
        if version.startswith("2."):
            _check_order(model, config, path)
    with hdf5_file.opened(io.BytesIO(weights), f"{_WEIGHTS} of {path.name}") as file:
        count = hdf5_file.count(file)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, _WEIGHTS)
        copy.write_bytes(weights)
        keras_model.load_weights(model, copy, path.name, count)
    return keras_model.original(model, options, path.stem, facts, notes, channels_first=first)


def _members(path):
    """Return (config, bytes of the weights, version of Keras) of an archive after checking it; raise ModelError."""
    try:
        with zipfile.ZipFile(path) as archive:
            _check(archive, path)
            metadata = json.loads(archive.read(_METADATA))
            version = str(metadata.get("keras_version", "")) if isinstance(metadata, dict) else ""
            return json.loads(archive.read(_CONFIG)), archive.read(_WEIGHTS), version
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is broken: its {_CONFIG} or {_METADATA} is not valid JSON: {error}") from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise ModelError(f"{path} is not a complete .keras file (a zip archive): {error}; get it again") from error


def _check(archive, path):
    """Raise ModelError unless each entry exists once and is not absurdly larger than the file."""
    size = path.stat().st_size
    names = [info.filename for info in archive.infolist()]
    for name in (_CONFIG, _WEIGHTS, _METADATA):
        if names.count(name) != 1:
            raise ModelError(f"{path} has {names.count(name)} entries {name} instead of one: it was not saved by Keras")
        info = archive.getinfo(name)
        if info.file_size > _RATIO * size or (name != _WEIGHTS and info.file_size > _LARGEST_TEXT):
            raise ModelError(
                f"{path} would unpack {name} to {info.file_size} bytes from {size}: it is not a model, and was not read"
            )


def _check_order(model, config, path):
    """Raise ModelError unless Keras 3 has the layers in the order of Keras 2: their weights are stored by index."""
    names = [layer.name for layer in model.layers]
    stored = [layer.get("name", layer["config"]["name"]) for layer in config["config"]["layers"]]
    if names != [name for name in stored if name in names]:
        raise ModelError(
            f"Keras 3 orders the layers of {path.name} differently from Keras 2, which wrote it: save the model there "
            "as HDF5 (.h5) or a SavedModel"
        )
