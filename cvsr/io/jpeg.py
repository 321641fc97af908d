"""JPEG: its segments, the size that it states, its metadata, and putting metadata into an encoded file."""

import logging
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from cvsr.errors import FileError
from cvsr.io.interface import EXIF, BrokenFileError, Facts, Header

log = logging.getLogger("cvsr")

_START_OF_SCAN, _APP1, _APP2 = 0xDA, 0xE1, 0xE2
_ICC = b"ICC_PROFILE\0"
_LONGEST = 65_519  # bytes of an EXIF block or of a piece of a profile in one segment
_MOST_SCANS = 100  # a progressive JPEG has about ten; each takes a pass over all pixels and may have 30 bytes only


class JpegSegment(NamedTuple):
    """One segment of a JPEG: its marker, and where its data lies."""

    marker: int
    start: int
    stop: int


def segments(data: memoryview) -> Iterator[JpegSegment]:
    """Yield the segments up to the first scan, that one included. Raise BrokenFileError if there is something else."""
    at = 2
    while True:
        if at + 4 > len(data):
            raise BrokenFileError("the JPEG is cut short or damaged")
        mark, marker = data[at], data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        # markers without a length are stepped over by some decoders: what follows would be read differently
        if mark != 0xFF or marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD9:
            raise BrokenFileError("the JPEG has something else where a segment should begin")
        stop = at + 2 + max(2, data[at + 2] << 8 | data[at + 3])
        yield JpegSegment(marker, at + 4, min(stop, len(data)))
        if marker == _START_OF_SCAN:
            return
        at = stop


def header(data: memoryview) -> Header:
    """Return the size that a JPEG states. Raise BrokenFileError."""
    size: tuple[int, int] | None = None
    for marker, start, _ in segments(data):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if size is not None:
                raise BrokenFileError("the JPEG states its size twice")
            size = struct.unpack_from(">HH", data, start + 1)
    if size is None:
        raise BrokenFileError("the JPEG has a picture before it states its size")
    if bytes(data).count(b"\xff\xda") > _MOST_SCANS:
        raise BrokenFileError(f"the JPEG has more than {_MOST_SCANS} scans")
    return Header(".jpg", size[1], size[0], 4)


def inspect(data: memoryview, name: str) -> Facts:
    """Return EXIF and profile. Raise FileError if the file was cut short."""
    found, scan = Facts(), None
    icc = b""
    with suppress(BrokenFileError):
        for marker, start, stop in segments(data):
            if marker == _APP1 and found.exif is None and bytes(data[start : start + len(EXIF)]) == EXIF:
                found.exif = bytes(data[start + len(EXIF) : stop])
            elif marker == _APP2 and bytes(data[start : start + len(_ICC)]) == _ICC:  # in parts of at most 64 kB
                icc += bytes(data[start + len(_ICC) + 2 : stop])
            elif marker == _START_OF_SCAN:
                scan = start
    # some versions of OpenCV fill missing parts with gray
    if scan is None or not _ends(data, scan):
        raise FileError(f"{name} is a JPEG that was cut short (it has no end marker): copy or download it again")
    found.icc = icc or None
    return found


def _ends(data: memoryview, scan: int) -> bool:
    """Tell whether an end marker follows the first scan: within a scan, no other two bytes look like it."""
    return any(b"\xff\xd9" in bytes(data[start:]) for start in (max(scan, len(data) - 4096), scan))


def embed(data: memoryview, exif: bytes | None, icc: bytes | None) -> Iterator[bytes | memoryview]:
    """Yield the pieces of an encoded JPEG with EXIF and profile: OpenCV writes them since 4.13 at best."""
    first = 4 + struct.unpack_from(">H", data, 4)[0] if data[3] == 0xE0 else 2  # behind JFIF's segment
    yield data[:first]
    if exif and len(exif) <= _LONGEST:
        yield struct.pack(">BBH", 0xFF, _APP1, len(exif) + 8) + EXIF + exif
    elif exif:
        log.warning("its EXIF block is too long for a JPEG: dropped")
    parts = [icc[at : at + _LONGEST] for at in range(0, len(icc), _LONGEST)] if icc else []
    for number, part in enumerate(parts, 1):
        head = _ICC + bytes([number, len(parts)])
        yield struct.pack(">BBH", 0xFF, _APP2, len(part) + len(head) + 2) + head + part
    yield data[first:]
