"""Image files: reading whatever OpenCV reads.

Pictures come out upright (EXIF orientation applied once, on every OpenCV), with their alpha and their 16 bits.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from cvsr import png, tiff, tiffhead
from cvsr._cv2 import VERSION, cv2
from cvsr.errors import FileError

Array = npt.NDArray[Any]

# From here on, imread can decode into the array that it returns. Otherwise OpenCV's Python functions decode into memory
# of their own and copy it: images take twice their size for a moment.
_READS_IN_PLACE = VERSION >= (4, 11)

_EXIF = b"Exif\0\0"
_ICC = b"ICC_PROFILE\0"
_EXIF_KIND = 0  # cv2.IMAGE_METADATA_EXIF, which is there since 4.12

_MAGICS = {
    b"P1": ".pbm",
    b"P2": ".pgm",
    b"P3": ".ppm",
    b"P4": ".pbm",
    b"P5": ".pgm",
    b"P6": ".ppm",
    b"P7": ".pam",
    b"PF": ".pfm",
    b"Pf": ".pfm",
    png.SIGNATURE: ".png",
    b"\xff\xd8\xff": ".jpg",
    b"II*\0": ".tiff",
    b"MM\0*": ".tiff",
    b"II+\0": ".tiff",
    b"MM\0+": ".tiff",
    b"BM": ".bmp",
    b"GIF8": ".gif",
    b"\0\0\0\x0cjP  ": ".jp2",
    b"\xff\x4f\xff\x51": ".jp2",
    b"#?R": ".hdr",
    b"v/1\x01": ".exr",
}


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
            facts.exif = found.get(_EXIF_KIND, b"").removeprefix(_EXIF) or None
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


def sniff(data: memoryview) -> str:
    """Return the usual suffix of the format that the first bytes tell, "" if they tell none."""
    head = bytes(data[:32])
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return ".webp"
    if head[4:12] in (b"ftypavif", b"ftypavis"):
        return ".avif"
    if head[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1"):
        return ".heic"
    return next((suffix for magic, suffix in _MAGICS.items() if head.startswith(magic)), "")


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
        head = tiffhead.read(view)
        if head and head.pages > 1:
            raise FileError(
                f"{name} holds {head.pages} pages, and one is read here: cvsr upscale enlarges all of them, into TIFF"
            )
        facts.orientation, facts.changed = tiff.repair(view)
        facts.icc = tiff.find_icc(view)
        return facts
    if facts.suffix == ".jpg" and not _jpeg_ends(view):  # some versions of OpenCV fill up what is missing with gray
        raise FileError(f"{name} is a JPEG that was cut short (it has no end marker): copy or download it again")
    exif, facts.icc = _metadata(view, facts.suffix)
    tag = tiff.find_short(exif, tiff.ORIENTATION) if exif else None
    if exif and tag:
        facts.orientation = tag.value
        struct.pack_into(tag.order + "H", exif, tag.offset, 1)  # the result will be upright
    facts.exif = tiff.cut_after_first_directory(bytes(exif)) if exif else None
    return facts


def _metadata(data: memoryview, suffix: str) -> tuple[bytearray | None, bytes | None]:
    """Return the EXIF block and the ICC profile of a JPEG, PNG or WebP file."""
    blocks = {".jpg": _jpeg_segments, ".png": png.chunks, ".webp": _webp_chunks}.get(suffix)
    exif: bytearray | None = None
    icc = b""
    for name, start, stop in blocks(data) if blocks else ():
        has_prefix = bytes(data[start : start + len(_EXIF)]) == _EXIF
        if exif is None and (name in (b"eXIf", b"EXIF") or (name == b"\xe1" and has_prefix)):
            exif = bytearray(data[start + len(_EXIF) * has_prefix : stop])
        elif name == b"ICCP":
            icc = bytes(data[start:stop])
        elif name == b"iCCP":
            icc = png.profile(bytes(data[start:stop]))
        elif name == b"\xe2" and bytes(data[start : start + len(_ICC)]) == _ICC:  # in parts of at most 64 kB
            icc += bytes(data[start + len(_ICC) + 2 : stop])
    return exif, icc or None


def _jpeg_segments(data: memoryview) -> Iterator[tuple[bytes, int, int]]:
    """Yield (marker, start, stop) of a JPEG's segments up to the first scan, that one included."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        if data[at + 1] == 0xFF:  # fill byte
            at += 1
            continue
        stop = at + 2 + (data[at + 2] << 8 | data[at + 3])
        yield bytes(data[at + 1 : at + 2]), at + 4, min(stop, len(data))
        if data[at + 1] == 0xDA:
            return
        at = stop


def _jpeg_ends(data: memoryview) -> bool:
    """Tell whether an end marker follows the first scan: within a scan, no other two bytes look like it."""
    scan = next((start for marker, start, _ in _jpeg_segments(data) if marker == b"\xda"), None)
    if scan is None:
        return False
    return any(b"\xff\xd9" in bytes(data[start:]) for start in (max(scan, len(data) - 4096), scan))


def _webp_chunks(data: memoryview) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, start, stop) of a WebP's chunks."""
    at = 12
    while at + 8 <= len(data):
        length = struct.unpack_from("<I", data, at + 4)[0]
        yield bytes(data[at : at + 4]), at + 8, min(at + 8 + length, len(data))
        at += 8 + length + length % 2


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
