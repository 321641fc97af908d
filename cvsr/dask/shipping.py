"""Send upscalers to other processes as bytes; each process unpacks them once."""

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
    """Return an upscaler as bytes for :func:`unpacked`: its options and the facts of its models.

    ``scale`` replaces its scale or size. The model files are not included: the receiver looks them up.
    """
    if scale is not None:
        upscaler = copy.copy(upscaler)
        upscaler.scale, upscaler.size = float(scale), None
    return pickle.dumps(upscaler)


def unpacked(data: bytes) -> Upscaler:
    """Return the upscaler in ``data``, made once in each process.

    Raises ModelNotFoundError if this machine does not have the same model files.
    """
    with _LOCK:  # otherwise several threads would each make one
        return _made(data)


@functools.lru_cache(maxsize=4)
def _made(data: bytes) -> Upscaler:
    upscaler: Upscaler = pickle.loads(data)
    for scale, info in upscaler.models.items():  # not another dictionary: this one also belongs to its parts
        upscaler.models[scale] = _here(info)
    return upscaler


def _here(info: ModelInfo) -> ModelInfo:
    """Return the facts of a model with its file's path on this machine."""
    if info.path is None:  # an interpolation
        return info
    if info.path.is_file() and hashlib.sha256(info.path.read_bytes()).hexdigest() == info.sha256:
        return info
    for entry in zoo.models():
        if entry.sha256 == info.sha256 and entry.intact():
            return replace(info, path=entry.path)
    raise ModelNotFoundError(
        f"{platform.node()} does not have the model {info.name}, neither at {info.path} nor in its cvsr. Install the "
        "same version of cvsr on all machines, or put the model file into a shared folder"
    )
