"""TF.js *layers* models: a ``model.json`` with the topology, and shards of raw weights beside it.

Weights may be quantized to 16 or 8 bits. Fixed input sizes become dynamic. Graph models, which are TensorFlow graphs
optimized for the browser, are refused: the models that they were made from are the better source.
"""

import json
from pathlib import Path

from cvsr.errors import ModelError

TITLE = "TF.js layers model (model.json and its shards)"

_MARKS = (b'"modelTopology"', b'"layers-model"', b'"graph-model"', b'"weightsManifest"')
_LARGEST = 64 << 20  # bytes of JSON


def matches(path):
    """Return whether it is a TF.js model: a JSON file that begins like one, or a folder with such a ``model.json``."""
    file = _file(Path(path))
    if file.suffix.lower() != ".json" or not file.is_file():
        return False
    with open(file, "rb") as opened:
        head = opened.read(4096)
    return any(mark in head for mark in _MARKS)


def _file(path):
    return path / "model.json" if path.is_dir() else path


def read(path, options):
    file = _file(Path(path))
    try:
        return _read(file, options)
    except ModelError as error:
        raise ModelError(f"{file}: {error}") from error


def _read(file, options):
    content = _json(file)
    topology = content.get("modelTopology")
    if content.get("format") == "graph-model" or (isinstance(topology, dict) and "node" in topology):
        raise ModelError(
            "it is a TF.js graph model, not a layers model: convert the SavedModel or Keras model that it was made from"
        )
    if not isinstance(topology, dict):
        raise ModelError("it has no modelTopology: a file of weights alone is not enough")
    from cvsr_converters.sources.keras import model as keras_model
    from cvsr_converters.sources.tfjs import layers
    from cvsr_converters.sources.tfjs.weights import assign, read_weights

    weights = read_weights(content.get("weightsManifest"), file.parent)
    model, notes = layers.build(topology.get("model_config", topology), options.trust)
    if unused := assign(model, weights):
        notes.append(f"unused weights were ignored: {', '.join(unused[:10])}")
    name = file.parent.resolve().name if file.name == "model.json" else file.stem
    return keras_model.original(model, options, name, notes=notes)


def _json(file):
    size = file.stat().st_size
    if size > _LARGEST:
        raise ModelError(f"it has {size >> 20} MB, too much for a topology")
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ModelError(f"it is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise ModelError("it is not a TF.js model: its JSON is not an object")
    return content
