"""Check the arguments of readModel and setModel against what the model file says of itself."""

from os import PathLike
from typing import cast

import numpy as np

from cvsr.errors import ModelError, OptionError
from cvsr.modelfiles import superres_files
from cvsr.modelfiles.info import ModelFacts, ModelInfo, completed, of_algorithm, overridden, read_facts


def facts(path: object, definition: object) -> ModelFacts:
    """Return the facts of the file in readModel(path, definition), or ``path`` itself if it is such facts.

    Raises OptionError, and what :func:`cvsr.modelfiles.info.read_facts` raises.
    """
    if not isinstance(path, (str, PathLike, ModelInfo)):
        raise OptionError(f"readModel takes the path of a .pb or .onnx file, not {type(path).__name__}")
    if definition not in (None, "", path):
        raise OptionError(f"definition is {definition!r}: .pb and .onnx models are one file, so omit it")
    return path if isinstance(path, ModelInfo) else read_facts(cast("str | PathLike[str]", path))


def checked(algo: object, scale: object) -> tuple[str, int]:
    """Return the (algorithm, scale) of setModel, the name in lower case; raise OptionError if they are invalid."""
    if not isinstance(algo, str) or not algo.strip():
        raise OptionError(f"algo is {algo!r}: setModel takes a name such as 'fsrcnn', and the scale")
    if isinstance(scale, bool) or not isinstance(scale, (int, np.integer)) or not 1 <= scale <= 16:
        raise OptionError(f"scale is {scale!r}: a model's scale is a whole number, as in setModel({algo!r}, 2)")
    return algo.strip().lower(), int(scale)


def resolved(facts: ModelFacts | None, algo: str, scale: int) -> ModelInfo:
    """Return the complete facts of a file if setModel(algo, scale) fits it.

    ``algo`` is "" and ``scale`` is 0 if setModel was not called. Raises ModelError, which says what the file is.
    """
    if facts is None:
        raise ModelError("no model has been read: call readModel(path) first")
    if not facts.complete:
        if not algo:
            raise ModelError(f"{facts.path} does not say what it is: call setModel(algo, scale)")
        facts = of_algorithm(overridden(facts, scale=facts.scale or scale), algo)
    info = facts if isinstance(facts, ModelInfo) else completed(facts)
    if algo and (scale != info.scale or not _fits(algo, info)):
        call = f"setModel({(info.algorithm or info.name).lower()!r}, {info.scale})"
        raise ModelError(
            f"{info.path} is {_described(info)}, which does not match setModel({algo!r}, {scale}): use {call}"
        )
    return info


def _fits(algo: str, info: ModelInfo) -> bool:
    """Whether an algorithm fits a file; for files that were not made for dnn_superres, only channels are compared."""
    name, named = info.name.lower(), superres_files.named(info.name)
    says = info.algorithm or (named[0] if named else "")
    if says or algo not in superres_files.FAMILIES:
        return algo in {says, name, name.rpartition("_")[0]}
    return superres_files.channels(algo) == info.channels


def _described(info: ModelInfo) -> str:
    kind = info.algorithm or f"a network for {'luma' if info.channels == 1 else 'color'}"
    return f"{info.name}, {kind} x{info.scale}"
