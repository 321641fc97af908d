"""TIFF, as far as OpenCV needs help with reading it: tags that it misreads.

An EXIF block is a small TIFF file of its own, so the orientation of every other format is found here too.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

Buffer = bytes | bytearray | memoryview

ORIENTATION = 274
EXTRA_SAMPLES = 338
ICC_PROFILE = 34675
PHOTOMETRIC = 262

_SHORT = 3
_ASSOCIATED, UNASSOCIATED = 1, 2


class Tag(NamedTuple):
    """Where one value of 16 bits lies in a TIFF structure."""

    order: str
    offset: int
    value: int


def find_short(data: Buffer, tag: int, start: int = 0) -> Tag | None:
    """Return where the first directory of the TIFF structure at ``start`` holds a 16-bit ``tag``, None if nowhere."""
    try:
        for order, kind, count, offset in _directory(data, start, tag):
            if kind == _SHORT and count == 1:
                return Tag(order, offset, struct.unpack_from(order + "H", data, offset)[0])
    except struct.error:  # cut short, or no TIFF structure at all
        pass
    return None


def cut_after_first_directory(exif: bytes) -> bytes:
    """Return an EXIF block without its second directory: the thumbnail, which shows the picture as it was before."""
    if len(exif) < 8 or exif[:4] not in (b"II*\0", b"MM\0*"):
        return exif
    order = "<" if exif[:2] == b"II" else ">"
    first: int = struct.unpack_from(order + "I", exif, 4)[0]
    if first + 2 > len(exif):
        return exif
    link = first + 2 + 12 * struct.unpack_from(order + "H", exif, first)[0]
    return exif[:link] + bytes(4) + exif[link + 4 :] if link + 4 <= len(exif) else exif


def find_icc(data: Buffer) -> bytes | None:
    """Return the color profile of a TIFF file."""
    try:
        for order, _, count, offset in _directory(data, 0, ICC_PROFILE):
            is_big = struct.unpack_from(order + "H", data, 2)[0] == 43
            start = struct.unpack_from(order + ("Q" if is_big else "I"), data, offset)[0]
            return bytes(data[start : start + count])
    except struct.error:
        pass
    return None


def repair(data: memoryview) -> tuple[int, bool]:
    """Make a TIFF file (a writable view of it) one that OpenCV reads as it is.

    Return the orientation that it had, and whether there was anything to change. OpenCV turns a TIFF by its
    orientation whatever the flags say, and 8-bit images with unassociated alpha come out multiplied by their alpha.
    Both are decided by one tag each, so the tags are changed.
    """
    alpha = find_short(data, EXTRA_SAMPLES)
    multiplied = alpha is not None and alpha.value == UNASSOCIATED
    if alpha is not None and multiplied:
        struct.pack_into(alpha.order + "H", data, alpha.offset, _ASSOCIATED)
    tag = find_short(data, ORIENTATION)
    if tag is None or tag.value == 1:
        return 1, multiplied
    struct.pack_into(tag.order + "H", data, tag.offset, 1)
    return tag.value, True


def _directory(data: Buffer, start: int, wanted: int) -> Iterator[tuple[str, int, int, int]]:
    """Yield (byte order, type, count, offset of the inline value) of the first directory's entries with one tag."""
    magic = bytes(data[start : start + 4])
    order = {b"II": "<", b"MM": ">"}.get(magic[:2], "")
    version = struct.unpack_from(order + "H", data, start + 2)[0] if order else 0
    if version == 42:
        first, head, entry, inline = struct.unpack_from(order + "I", data, start + 4)[0], "H", "HHI", 8
    elif version == 43:  # BigTIFF
        first, head, entry, inline = struct.unpack_from(order + "Q", data, start + 8)[0], "Q", "HHQ", 12
    else:
        return
    at = start + first + struct.calcsize(order + head)
    for _ in range(struct.unpack_from(order + head, data, start + first)[0]):
        tag, kind, count = struct.unpack_from(order + entry, data, at)
        if tag == wanted:
            yield order, kind, count, at + inline
        at += inline + (4 if inline == 8 else 8)
