"""What a caller of dnn_superres says of a model file (readModel, setModel), held against what the file says itself."""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np

from cvsr.errors import ModelError, OptionError
from cvsr.modelfiles import superres_files
from cvsr.modelfiles.info import ModelInfo, completed, read_facts


def facts(path: object, definition: object) -> dict[str, Any]:
    """Return what can be told of the file in readModel(path, definition): of ``path`` = facts those, as "info".

    Raises OptionError, and what :func:`cvsr.modelfiles.info.read_facts` raises.
    """
    if not isinstance(path, (str, PathLike, ModelInfo)):
        raise OptionError(f"readModel takes the path of a .pb or .onnx file, not {type(path).__name__}")
    if definition not in (None, "", path):
        raise OptionError(f"definition is {definition!r}: .pb and .onnx models are one file, so leave it away")
    if isinstance(path, ModelInfo):
        return {"info": path}
    return read_facts(path)  # pyright: ignore[reportUnknownArgumentType]


def checked(algo: object, scale: object) -> tuple[str, int]:
    """Return the (algorithm, scale) of setModel, the name in small letters; raise OptionError where they are none."""
    if not isinstance(algo, str) or not algo.strip():
        raise OptionError(f"algo is {algo!r}: setModel takes a name such as 'fsrcnn', and the scale")
    if isinstance(scale, bool) or not isinstance(scale, (int, np.integer)) or not 1 <= scale <= 16:
        raise OptionError(f"scale is {scale!r}: a model's scale is a whole number, as in setModel({algo!r}, 2)")
    return algo.strip().lower(), int(scale)


def resolved(told: dict[str, Any], algo: str, scale: int) -> ModelInfo:
    """Return the facts of a file, of which ``told`` is known, where setModel(algo, scale) goes with it.

    ``algo`` = "" and ``scale`` = 0: it was not called. Raises ModelError, which says what the file is.
    """
    if not told:
        raise ModelError("no model has been read: call readModel(path) first")
    info = told.get("info")
    if info is None and told.keys() >= {"scale", "color", "range"}:
        info = completed(told, {})
    elif info is None and not algo:
        raise ModelError(f"{told['path']} does not say what it is: call setModel(algo, scale)")
    elif info is None:
        info = completed(told, {"scale": told.get("scale", scale)}, algo)
    if algo and (scale != info.scale or not _fits(algo, info)):
        call = f"setModel({(info.algorithm or info.name).lower()!r}, {info.scale})"
        raise ModelError(
            f"{info.path} is {_described(info)}, and not what setModel({algo!r}, {scale}) says: use {call}"
        )
    return info


def _fits(algo: str, info: ModelInfo) -> bool:
    """Whether a name goes with a file. Files that were not made for dnn_superres say at least if they are for color."""
    name, named = info.name.lower(), superres_files.named(info.name)
    says = info.algorithm or (named[0] if named else "")
    if says or algo not in superres_files.FAMILIES:
        return algo in {says, name, name.rpartition("_")[0]}
    return superres_files.channels(algo) == info.channels


def _described(info: ModelInfo) -> str:
    kind = info.algorithm or f"a network for {'luma' if info.channels == 1 else 'color'}"
    return f"{info.name}, {kind} x{info.scale}"
