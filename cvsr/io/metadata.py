"""EXIF blocks and color profiles of JPEG, PNG and WebP files."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from cvsr.io import png

EXIF = b"Exif\0\0"
_ICC = b"ICC_PROFILE\0"


def exif_and_icc(data: memoryview, suffix: str) -> tuple[bytearray | None, bytes | None]:
    """Return the EXIF block and the ICC profile of a JPEG, PNG or WebP file."""
    blocks = {".jpg": _jpeg_segments, ".png": png.chunks, ".webp": _webp_chunks}.get(suffix)
    exif: bytearray | None = None
    icc = b""
    for name, start, stop in blocks(data) if blocks else ():
        has_prefix = bytes(data[start : start + len(EXIF)]) == EXIF
        if exif is None and (name in (b"eXIf", b"EXIF") or (name == b"\xe1" and has_prefix)):
            exif = bytearray(data[start + len(EXIF) * has_prefix : stop])
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


def jpeg_ends(data: memoryview) -> bool:
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
