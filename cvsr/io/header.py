"""How large a picture is, from the first bytes of its file: to be asked before anything is decoded.

A file of a kilobyte can claim to hold gigabytes. What a decoder will believe is read here with more suspicion than
there: where the two could read differently, the file is refused.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from cvsr.io import png

_MOST_SCANS = 100  # a progressive JPEG has about ten; each takes a pass over all pixels and may have 30 bytes only
_TIFF_TYPES = {3: "H", 4: "I", 16: "Q"}
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_BITS, _TIFF_SAMPLES, _TIFF_FORMAT = 256, 257, 258, 277, 339
_TIFF_TILE_WIDTH, _TIFF_TILE_HEIGHT = 322, 323


@dataclass(frozen=True)
class Head:
    """What a file claims: its format's suffix, its size, and the bytes that a decoded pixel takes at most."""

    suffix: str
    width: int
    height: int
    pixel: int

    @property
    def pixels(self) -> int:
        """Return how many pixels there are."""
        return self.width * self.height


class UnknownFormatError(ValueError):
    """The bytes are of no format that is read here."""


class BrokenFileError(ValueError):
    """The file contradicts its format."""


def read(data: memoryview) -> Head:
    """Return what the bytes of a PNG, JPEG, WebP, TIFF or BMP file claim.

    Raise UnknownFormatError for other files, BrokenFileError for those that no decoder should be given.
    """
    suffix = sniff(data)
    reader = _READERS.get(suffix)
    if reader is None:
        raise UnknownFormatError(f"it is no PNG, JPEG, WebP, TIFF or BMP file{f' but {suffix[1:]}' if suffix else ''}")
    try:
        width, height, pixel = reader(data)
    except (struct.error, OverflowError, MemoryError):
        raise BrokenFileError(f"the {suffix[1:].upper()} is cut short or damaged") from None
    if width < 1 or height < 1:
        raise BrokenFileError(f"the {suffix[1:].upper()} claims a size of {width}x{height}")
    return Head(suffix, width, height, pixel)


def _png(data: memoryview) -> tuple[int, int, int]:
    name, width, height, depth = struct.unpack_from(">4sIIB", data, 12)
    if name != b"IHDR":
        raise BrokenFileError("the PNG does not begin with its header")
    return width, height, 8 if depth == 16 else 4


def _jpeg(data: memoryview) -> tuple[int, int, int]:
    at, size = 2, None
    while True:
        mark, marker = struct.unpack_from("BB", data, at)
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        # markers without a length are stepped over by some decoders: what follows would be read differently
        if mark != 0xFF or marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD9:
            raise BrokenFileError("the JPEG has something else where a segment should begin")
        (length,) = struct.unpack_from(">H", data, at + 2)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if size is not None:
                raise BrokenFileError("the JPEG states its size twice")
            height, width = struct.unpack_from(">HH", data, at + 5)
            size = width, height
        if marker == 0xDA:
            break
        at += 2 + max(2, length)
    if size is None:
        raise BrokenFileError("the JPEG has a picture before it states its size")
    if bytes(data).count(b"\xff\xda") > _MOST_SCANS:
        raise BrokenFileError(f"the JPEG has more than {_MOST_SCANS} scans")
    return *size, 4


def _webp(data: memoryview) -> tuple[int, int, int]:
    kind = bytes(data[12:16])
    if kind == b"VP8X":
        low, high, low2, high2 = struct.unpack_from("<HBHB", data, 24)
        return 1 + (low | high << 16), 1 + (low2 | high2 << 16), 4
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), 4
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF, 4
    raise BrokenFileError("the WebP holds no picture")


def _bmp(data: memoryview) -> tuple[int, int, int]:
    (length,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if length == 12 else "<ii", data, 18)
    return width, abs(height), 4


def _tiff(data: memoryview) -> tuple[int, int, int]:
    order = "<" if bytes(data[:2]) == b"II" else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    head, entry, link = ("Q", "HHQ", "Q") if big else ("H", "HHI", "I")
    (at,) = struct.unpack_from(order + link, data, 8 if big else 4)
    (count,) = struct.unpack_from(order + head, data, at)
    at += struct.calcsize(order + head)
    size = 20 if big else 12
    found: dict[int, int] = {}
    for _ in range(count):
        tag, kind, length = struct.unpack_from(order + entry, data, at)
        if kind in _TIFF_TYPES and length:
            value = at + struct.calcsize(order + entry)
            if struct.calcsize(_TIFF_TYPES[kind]) * length > (8 if big else 4):
                (value,) = struct.unpack_from(order + link, data, value)
            if tag in found:
                raise BrokenFileError("the TIFF says the same thing twice")
            (found[tag],) = struct.unpack_from(order + _TIFF_TYPES[kind], data, value)
        at += size
    if struct.unpack_from(order + link, data, at)[0]:
        raise BrokenFileError("the TIFF has more than one page: cvsr upscale enlarges all of them")
    width, height = found.get(_TIFF_WIDTH, 0), found.get(_TIFF_HEIGHT, 0)
    bits = found.get(_TIFF_BITS, 1)
    if bits > 16 or found.get(_TIFF_FORMAT, 1) == 3:
        raise UnknownFormatError("the TIFF has more than 16 bits, or floats: cvsr upscale takes it")
    if found.get(_TIFF_TILE_WIDTH, 0) * found.get(_TIFF_TILE_HEIGHT, 0) > max(width * height, 1 << 20):
        raise BrokenFileError("the TIFF has tiles that are larger than its picture")
    return width, height, max(4, found.get(_TIFF_SAMPLES, 1)) * (2 if bits > 8 else 1)


_READERS: dict[str, Callable[[memoryview], tuple[int, int, int]]] = {
    ".png": _png,
    ".jpg": _jpeg,
    ".webp": _webp,
    ".bmp": _bmp,
    ".tiff": _tiff,
}

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
