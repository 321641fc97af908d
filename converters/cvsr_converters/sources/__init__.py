"""Readers of trained models: one module, or one folder of them, for each input format.

Each has

- ``TITLE``: the format in words, for messages;
- ``matches(path) -> bool``: whether a file or folder is of this format, by its name and first bytes; loads nothing;
- ``read(path, options) -> Original``: read it; raise :class:`cvsr.errors.ModelError` that says what is wrong and what
  to do. Nothing in the file is executed unless ``options.trust``, and no size in it is believed before it is checked.

To add a format: write its module, put its name into SOURCES, and test both functions.
"""

import importlib
from dataclasses import dataclass, field
from pathlib import Path

from cvsr.errors import CvsrError, ModelError, ModelNotFoundError

# In this order: the first that matches reads. Names, not modules, because each needs a framework of its own.
SOURCES: tuple[str, ...] = (
    "keras.archive",
    "keras.hdf5",
    "tensorflow.saved_model",
    "tensorflow.frozen_graph",
    "tensorflow.checkpoint1",
    "tensorflow.checkpoint2",
    "tfjs",
    "tflite",
    "onnx",
    "torch",
)


@dataclass(frozen=True)
class Options:
    """What a user says of a model beyond its path.

    ``network``: the name of the network (``cvsr_converters.networks``) that weights-only files belong to, and
    ``network_options`` its arguments. ``outputs``: which outputs to take, by name. ``feeds``: values of placeholders
    that are no image, such as ``is_training``. ``signature`` of a SavedModel. ``scale``: where the file cannot say it.
    ``trust``: whether code in the file may run.
    """

    network: str | None = None
    network_options: dict = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    feeds: dict = field(default_factory=dict)
    signature: str | None = None
    scale: int | None = None
    trust: bool = False


def modules():
    """Yield the modules of the formats; they import no framework before they read."""
    for name in SOURCES:
        yield importlib.import_module(f"cvsr_converters.sources.{name}")


def find(path):
    """Return the module that reads a file or folder; raise ModelError if none does."""
    path = Path(path)
    # TensorFlow names a checkpoint by the common prefix of its files
    if not path.exists() and not path.with_name(path.name + ".index").is_file():
        raise ModelNotFoundError(f"there is no file or folder {path}")
    for module in modules():
        if module.matches(path):
            return module
    titles = "\n  ".join(module.TITLE for module in modules())
    raise ModelError(f"{path.name} is none of the formats that can be converted:\n  {titles}")


def read(module, path, options=None):
    """Return the :class:`~cvsr_converters.original.Original` that a module of a format reads; raise ModelError."""
    try:
        return module.read(Path(path), options or Options())
    except (CvsrError, ModuleNotFoundError):
        raise
    except Exception as error:  # frameworks have errors of their own for broken files, and seldom say that they are
        said = " ".join(str(error).split())[-400:] or type(error).__name__
        raise ModelError(f"{Path(path).name} could not be read as {module.TITLE}, it may be damaged: {said}") from error
