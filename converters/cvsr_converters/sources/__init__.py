"""Readers of trained models: one module or package for each input format.

Each has

- ``TITLE``: the format in words, for messages;
- ``matches(path) -> bool``: whether a file or folder has this format, by its name and first bytes; loads nothing;
- ``read(path, options) -> Original``: read it, or raise a :class:`cvsr.errors.ModelError` that says what is wrong and
  what to do. Code in the file runs only if ``options.trust``, and sizes in it are checked before they are used.

To add a format: write its module, add its name to SOURCES, and test both functions.
"""

import importlib
from dataclasses import dataclass, field
from pathlib import Path

from cvsr.errors import CvsrError, ModelError, ModelNotFoundError

# The first one that matches is used. Names, not modules, because each module needs a different framework.
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
    """What a user specifies about a model besides its path.

    ``network``: the name of the network (``cvsr_converters.networks``) that a weights-only file belongs to;
    ``network_options``: its arguments. ``outputs``: the names of the outputs to convert. ``feeds``: values of
    placeholders that are not images, such as ``is_training``. ``signature``: which one of a SavedModel to use.
    ``scale``: if the file does not state it. ``trust``: whether code in the file may run.
    """

    network: str | None = None
    network_options: dict = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    feeds: dict = field(default_factory=dict)
    signature: str | None = None
    scale: int | None = None
    trust: bool = False


def modules():
    """Yield the modules of the formats; they import frameworks only in ``read``."""
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
    raise ModelError(f"{path.name} has none of the supported formats:\n  {titles}")


def read(module, path, options=None):
    """Return the :class:`~cvsr_converters.original.Original` read by a format's module; raise ModelError."""
    try:
        return module.read(Path(path), options or Options())
    except (CvsrError, ModuleNotFoundError):
        raise
    except Exception as error:  # frameworks raise all kinds of errors for broken files, and seldom say why
        said = " ".join(str(error).split())[-400:] or type(error).__name__
        raise ModelError(f"{Path(path).name} could not be read as {module.TITLE}; it may be damaged: {said}") from error
