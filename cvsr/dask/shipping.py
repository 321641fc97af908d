"""Upscalers that travel: packed into bytes, and made once from them in each process that gets them."""

import copy
import functools
import hashlib
import pickle
import platform
import threading
from dataclasses import replace

from cvsr.errors import ModelNotFoundError
from cvsr.modelfiles import zoo
from cvsr.modelfiles.info import ModelInfo
from cvsr.upscaler import Upscaler

_LOCK = threading.Lock()


def pack(upscaler: Upscaler, scale: int | None = None) -> bytes:
    """Return an upscaler as bytes for :func:`unpacked`: what it is asked to do, and the facts of its models.

    ``scale`` replaces its scale or size. The model files do not travel: they are looked up where the bytes arrive.
    """
    if scale is not None:
        upscaler = copy.copy(upscaler)
        upscaler.scale, upscaler.size = float(scale), None
    return pickle.dumps(upscaler)


def unpacked(data: bytes) -> Upscaler:
    """Return the upscaler that :func:`pack` made ``data`` of: this process has one, however often it asks.

    Raises ModelNotFoundError where this machine has not the same model files.
    """
    with _LOCK:  # or several threads would make one each
        return _made(data)


@functools.lru_cache(maxsize=4)
def _made(data: bytes) -> Upscaler:
    upscaler: Upscaler = pickle.loads(data)
    upscaler.models = {scale: _here(info) for scale, info in upscaler.models.items()}
    return upscaler


def _here(info: ModelInfo) -> ModelInfo:
    """Return the facts of a model with the path that its file has on this machine."""
    if info.path is None:  # an interpolation
        return info
    if info.path.is_file() and hashlib.sha256(info.path.read_bytes()).hexdigest() == info.sha256:
        return info
    for entry in zoo.models():
        if entry.sha256 == info.sha256 and entry.intact():
            return replace(info, path=entry.path)
    raise ModelNotFoundError(
        f"{platform.node()} has no such model as {info.name}: neither at {info.path} nor in its cvsr. Install the same "
        "version of cvsr on all machines, or put the model's file into a folder that they share"
    )
