"""WebP: its chunks, the size that it states, and its metadata."""

import struct
from collections.abc import Iterator

from cvsr.io.interface import EXIF, BrokenFileError, Facts, Header


def chunks(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield the chunks of a WebP file, name and data, the last one as far as it is there."""
    at = 12
    while at + 8 <= len(data):
        length = struct.unpack_from("<I", data, at + 4)[0]
        yield bytes(data[at : at + 4]), data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def header(data: memoryview) -> Header:
    """Return the size that a WebP states. Raise BrokenFileError."""
    kind, width, height = bytes(data[12:16]), 0, 0
    if kind == b"VP8X":
        low, high, low2, high2 = struct.unpack_from("<HBHB", data, 24)
        width, height = 1 + (low | high << 16), 1 + (low2 | high2 << 16)
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        raise BrokenFileError("the WebP has no picture")
    return Header(".webp", width, height, 4)


def inspect(data: memoryview, _name: str) -> Facts:
    """Return EXIF and profile."""
    found = Facts()
    for name, content in chunks(data):
        if name == b"EXIF" and found.exif is None:
            found.exif = bytes(content).removeprefix(EXIF)
        elif name == b"ICCP":
            found.icc = bytes(content) or None
    return found
