"""Image files: reading all formats of the table.

Pictures come out upright (EXIF orientation applied once, on every OpenCV), with their alpha and their 16 bits.
"""

import os
import stat
import struct
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np

from cvsr._cv2 import VERSION, cv2
from cvsr.errors import FileError
from cvsr.image import Image
from cvsr.io import formats
from cvsr.io.formats import Format
from cvsr.io.interface import EXIF, Facts
from cvsr.io.tiff import tags

# From here on, imread can decode into the array that it returns. Otherwise OpenCV's Python functions decode into memory
# of their own and copy it: images need twice their size for a moment.
_READS_IN_PLACE = VERSION >= (4, 11)

_EXIF_KIND = 0  # cv2.IMAGE_METADATA_EXIF, which is there since 4.12


@dataclass
class Picture:
    """One decoded image file.

    ``image`` is (H, W), (H, W, 3) BGR or (H, W, 4) BGRA; uint8, uint16 or float32; upright. It may be a view with any
    strides. ``suffix`` names the format it came in. ``exif`` (orientation 1) and ``icc`` are for a result to carry on.
    """

    image: Image
    suffix: str
    exif: bytes | None = None
    icc: bytes | None = None


def read(path: str | PathLike[str]) -> Picture:
    """Read an image file. Raise FileError if it is missing or cannot be decoded."""
    path = Path(path)
    data = _load(path)
    format, facts = _inspect(data, str(path))
    by_opencv = format is None or format.decode is None
    in_place = _READS_IN_PLACE and by_opencv and not facts.changed
    if in_place and path.is_file() and (os.name != "nt" or str(path).isascii()):
        del data  # not needed, and not small
        with suppress(cv2.error, MemoryError):
            image = cv2.imread(str(path), dst=None, flags=cv2.IMREAD_UNCHANGED)
            if image is not None:
                return _finished(image, format, facts, str(path))
        data = _load(path)
    return _decode(data, format, facts, str(path))


def decode(data: Image, name: str = "the data") -> Picture:
    """Decode the bytes of an image file (a writable uint8 array, which may be changed). Raise FileError if it fails."""
    return _decode(data, *_inspect(data, name), name)


def _decode(data: Image, format: Format | None, facts: Facts, name: str) -> Picture:
    image: Image | None = None
    reason = ""
    try:
        if format and format.decode:
            image = format.decode(data)
        elif format and format.name == "avif" and hasattr(cv2, "imdecodeWithMetadata"):
            image, kinds, blobs = cv2.imdecodeWithMetadata(data, flags=cv2.IMREAD_UNCHANGED)
            found = {int(kind): blob.tobytes() for kind, blob in zip(kinds, blobs, strict=True)}
            facts.exif = found.get(_EXIF_KIND, b"").removeprefix(EXIF) or None
        else:
            image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except ValueError as error:
        raise FileError(f"{name} cannot be decoded: {error}") from error
    except (cv2.error, MemoryError) as error:
        reason = str(error)
    if image is None:
        raise FileError(f"{name} cannot be decoded: {_why_not(data, format, reason)}")
    return _finished(image, format, facts, name)


def _load(path: Path) -> Image:
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


def _finished(image: Image, format: Format | None, facts: Facts, name: str) -> Picture:
    """Return the decoded pixels as a picture, upright. Raise FileError if cvsr does not take their kind."""
    if image.dtype == np.float64:
        image = image.astype(np.float32)
    channels = image.shape[2] if image.ndim == 3 else 1
    if image.dtype.name not in ("uint8", "uint16", "float32") or channels not in (1, 3, 4):
        raise FileError(
            f"{name} has {image.dtype.name} samples in {channels} channels; "
            "convert it to 8-bit, 16-bit or 32-bit float gray, RGB or RGBA"
        )
    return Picture(turn(image, facts.orientation), format.suffixes[0] if format else "", facts.exif or None, facts.icc)


def turn(image: Image, orientation: int) -> Image:
    """Return a view of ``image`` turned upright from an EXIF orientation (1 to 8; others mean 1)."""
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return image


def _inspect(data: Image, name: str) -> tuple[Format | None, Facts]:
    """Return the format and metadata. Raise FileError if there is nothing to decode."""
    if data.size == 0:
        raise FileError(f"{name} is empty (0 bytes): copy or download it again")
    view = memoryview(cast(Any, data))
    format = formats.sniff(view)
    facts = format.inspect(view, name) if format and format.inspect else Facts()
    if facts.exif:
        exif = bytearray(facts.exif)
        if tag := tags.find_short(exif, tags.ORIENTATION):
            facts.orientation = tag.value
            struct.pack_into(tag.order + "H", exif, tag.offset, 1)  # the result will be upright
        facts.exif = tags.cut_after_first_directory(bytes(exif))
    return format, facts


def _why_not(data: Image, format: Format | None, reason: str) -> str:
    if "CV_IO_MAX_IMAGE" in reason or "validateInputImageSize" in reason:
        return (
            "it claims more pixels than OpenCV agrees to read (2^30, or 2^20 in one direction). If you trust it, set "
            "the environment variable OPENCV_IO_MAX_IMAGE_PIXELS (or _WIDTH, _HEIGHT) to more before starting"
        )
    if "alloc" in reason.lower() or "memory" in reason.lower():
        return f"there is not enough memory for it ({reason.strip()})"
    if format is None:
        return f"it is not an image that OpenCV knows (it begins with {bytes(data[:8])!r})"
    if not formats.opencv_writes(format.suffixes[0]):  # no build has a reader without the writer
        return f"this OpenCV ({cv2.__version__}) has no {format.title} reader; convert it to PNG first"
    return (
        f"the {format.title} is damaged, cut short or of a kind that OpenCV does not read; copy it again or convert it "
        "to PNG"
    )
