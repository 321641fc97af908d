"""Image files: reading whatever OpenCV reads.

Pictures come out upright (EXIF orientation applied once, on every OpenCV), with their alpha and their 16 bits.
"""

from __future__ import annotations

import os
import stat
import struct
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from cvsr._cv2 import VERSION, cv2
from cvsr.errors import FileError
from cvsr.io.header import sniff
from cvsr.io.metadata import EXIF, exif_and_icc, jpeg_ends
from cvsr.io.tiff import directories, tags

Array = npt.NDArray[Any]

# From here on, imread can decode into the array that it returns. Otherwise OpenCV's Python functions decode into memory
# of their own and copy it: images take twice their size for a moment.
_READS_IN_PLACE = VERSION >= (4, 11)

_EXIF_KIND = 0  # cv2.IMAGE_METADATA_EXIF, which is there since 4.12


@dataclass
class Picture:
    """One decoded image file.

    ``image`` is (H, W), (H, W, 3) BGR or (H, W, 4) BGRA; uint8, uint16 or float32; upright. It may be a view with any
    strides. ``suffix`` names the format it came in. ``exif`` (orientation 1) and ``icc`` are for a result to carry on.
    """

    image: Array
    suffix: str
    exif: bytes | None = None
    icc: bytes | None = None


@dataclass
class _Facts:
    """What a file's bytes say before they are decoded. ``changed``: they were, in memory, for OpenCV's sake."""

    suffix: str
    orientation: int = 1
    exif: bytes | None = None
    icc: bytes | None = None
    changed: bool = False


def read(path: str | PathLike[str]) -> Picture:
    """Read an image file. Raise FileError where there is none, or none that this OpenCV can decode."""
    path = Path(path)
    data = _load(path)
    facts = _inspect(data, str(path))
    if _READS_IN_PLACE and not facts.changed and path.is_file() and (os.name != "nt" or str(path).isascii()):
        del data  # not needed, and not small
        with suppress(cv2.error, MemoryError):
            image = cv2.imread(str(path), dst=None, flags=cv2.IMREAD_UNCHANGED)
            if image is not None:
                return _finished(image, facts, str(path))
        data = _load(path)
    return _decode(data, facts, str(path))


def decode(data: Array, name: str = "the data") -> Picture:
    """Decode the bytes of an image file (a writable uint8 array, which may be changed). Raise FileError if it fails."""
    return _decode(data, _inspect(data, name), name)


def _decode(data: Array, facts: _Facts, name: str) -> Picture:
    image: Array | None = None
    reason = ""
    try:
        if facts.suffix == ".avif" and hasattr(cv2, "imdecodeWithMetadata"):
            image, kinds, blobs = cv2.imdecodeWithMetadata(data, flags=cv2.IMREAD_UNCHANGED)
            found = {int(kind): blob.tobytes() for kind, blob in zip(kinds, blobs, strict=True)}
            facts.exif = found.get(_EXIF_KIND, b"").removeprefix(EXIF) or None
        else:
            image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except (cv2.error, MemoryError) as error:
        reason = str(error)
    if image is None:
        raise FileError(f"{name} cannot be decoded: {_why_not(data, facts.suffix, reason)}")
    return _finished(image, facts, name)


def _load(path: Path) -> Array:
    try:
        with path.open("rb") as stream:
            if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                return np.fromfile(stream, np.uint8)
            return np.frombuffer(bytearray(stream.read()), np.uint8)
    except FileNotFoundError as error:
        raise FileError(f"{path}: there is no such file; check the path") from error
    except IsADirectoryError as error:
        raise FileError(f"{path} is a folder, not an image file; name a file in it") from error
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from error


def _finished(image: Array, facts: _Facts, name: str) -> Picture:
    """Return the decoded pixels as a picture, upright. Raise FileError if they are none that cvsr takes."""
    if image.dtype == np.float64:
        image = image.astype(np.float32)
    channels = image.shape[2] if image.ndim == 3 else 1
    if image.dtype.name not in ("uint8", "uint16", "float32") or channels not in (1, 3, 4):
        raise FileError(
            f"{name} holds {image.dtype.name} samples in {channels} channels; "
            "convert it to 8-bit, 16-bit or 32-bit float gray, RGB or RGBA"
        )
    return Picture(turn(image, facts.orientation), facts.suffix, facts.exif, facts.icc)


def turn(image: Array, orientation: int) -> Array:
    """Return a view of ``image`` turned upright from an EXIF orientation (1 to 8; others mean 1)."""
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return image


def _inspect(data: Array, name: str) -> _Facts:
    """Return what can be told before decoding. Raise FileError where there is nothing to decode."""
    if data.size == 0:
        raise FileError(f"{name} is empty (0 bytes): copy or download it again")
    view = memoryview(cast(Any, data))
    facts = _Facts(sniff(view))
    if facts.suffix == ".tiff":
        head = directories.read(view)
        if head and head.pages > 1:
            raise FileError(
                f"{name} holds {head.pages} pages, and one is read here: cvsr upscale enlarges all of them, into TIFF"
            )
        facts.orientation, facts.changed = tags.repair(view)
        facts.icc = tags.find_icc(view)
        return facts
    if facts.suffix == ".jpg" and not jpeg_ends(view):  # some versions of OpenCV fill up what is missing with gray
        raise FileError(f"{name} is a JPEG that was cut short (it has no end marker): copy or download it again")
    exif, facts.icc = exif_and_icc(view, facts.suffix)
    tag = tags.find_short(exif, tags.ORIENTATION) if exif else None
    if exif and tag:
        facts.orientation = tag.value
        struct.pack_into(tag.order + "H", exif, tag.offset, 1)  # the result will be upright
    facts.exif = tags.cut_after_first_directory(bytes(exif)) if exif else None
    return facts


def _why_not(data: Array, suffix: str, reason: str) -> str:
    if "CV_IO_MAX_IMAGE" in reason or "validateInputImageSize" in reason:
        return (
            "it claims more pixels than OpenCV agrees to read (2^30, or 2^20 in one direction). If you trust it, set "
            "the environment variable OPENCV_IO_MAX_IMAGE_PIXELS (or _WIDTH, _HEIGHT) to more before starting"
        )
    if "alloc" in reason.lower() or "memory" in reason.lower():
        return f"there is not enough memory for it ({reason.strip()})"
    if not suffix:
        return f"it is no image that OpenCV knows (it begins with {bytes(data[:8])!r})"
    name = suffix[1:].upper()
    if not can_write(suffix):  # no build has a reader without the writer
        return f"this OpenCV ({cv2.__version__}) has no {name} reader; convert it to PNG first"
    return (
        f"the {name} is damaged, cut short or of a kind that OpenCV does not read; copy it again or convert it to PNG"
    )


def can_write(suffix: str) -> bool:
    """Tell whether this OpenCV can write files of that suffix."""
    try:
        return bool(cv2.haveImageWriter("x" + suffix))
    except cv2.error:  # OpenEXR may be built in but switched off
        return False
