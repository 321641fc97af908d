"""TIFF, as far as OpenCV needs help with reading it: the size that a file states, and tags that OpenCV misreads.

An EXIF block is a small TIFF file of its own, so the orientation of every other format is found here too.
"""

import struct
from contextlib import suppress
from typing import NamedTuple

from cvsr.errors import FileError
from cvsr.io.interface import BrokenFileError, Facts, Header, UnknownFormatError
from cvsr.io.tiff import directories, parser
from cvsr.io.tiff.parser import LONG, LONG8, SHORT, Buffer

ORIENTATION = 274
EXTRA_SAMPLES = 338
ICC_PROFILE = 34675
PHOTOMETRIC = 262
_WIDTH, _HEIGHT, _BITS, _SAMPLES, _SAMPLE_FORMAT, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 258, 277, 339, 322, 323

_ASSOCIATED, UNASSOCIATED = 1, 2


class Tag(NamedTuple):
    """Where one value of 16 bits lies in a TIFF structure."""

    order: str
    offset: int
    value: int


def find_short(data: Buffer, tag: int) -> Tag | None:
    """Return the place of a 16-bit ``tag`` in the first directory of a TIFF structure, None if it is not there."""
    if directory := parser.first(data):
        with suppress(struct.error):  # cut short
            for entry in directory:
                if entry.tag == tag and entry.kind == SHORT and entry.count == 1:
                    return Tag(directory.order, entry.at, directory.number(entry))
    return None


def cut_after_first_directory(exif: bytes) -> bytes:
    """Return an EXIF block without its second directory: the thumbnail, which shows the picture as it was before."""
    directory = parser.first(exif)
    if directory is None or directory.big or directory.link_at + 4 > len(exif):
        return exif
    return exif[: directory.link_at] + bytes(4) + exif[directory.link_at + 4 :]


def find_icc(data: Buffer) -> bytes | None:
    """Return the color profile of a TIFF file."""
    if directory := parser.first(data):
        with suppress(struct.error, KeyError):
            return next((directory.raw(entry) for entry in directory if entry.tag == ICC_PROFILE), None)
    return None


def repair(data: memoryview) -> tuple[int, bool]:
    """Make a TIFF file (a writable view of it) one that OpenCV reads as it is.

    Return the orientation that it had, and whether there was anything to change. OpenCV turns a TIFF by its
    orientation whatever the flags are, and 8-bit images with unassociated alpha come out multiplied by their alpha.
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


def inspect(data: memoryview, name: str) -> Facts:
    """Return profile and orientation, and repair what OpenCV misreads. Raise FileError for several pages."""
    head = directories.read(data)
    if head and head.pages > 1:
        raise FileError(
            f"{name} has {head.pages} pages, and only one can be read here: cvsr upscale enlarges all, into TIFF"
        )
    orientation, changed = repair(data)
    return Facts(None, find_icc(data), orientation, changed)


def header(data: memoryview) -> Header:
    """Return the size of a TIFF of one page. Raise BrokenFileError; UnknownFormatError for more than 16 bits."""
    directory = parser.first(data)
    if directory is None:
        raise BrokenFileError("the TIFF is cut short or damaged")
    found: dict[int, int] = {}
    for entry in directory:
        if entry.kind in (SHORT, LONG, LONG8) and entry.count:
            if entry.tag in found:
                raise BrokenFileError("the TIFF has a tag twice")
            found[entry.tag] = directory.number(entry)
    if directory.link():
        raise BrokenFileError("the TIFF has more than one page: cvsr upscale enlarges all of them")
    width, height, bits = found.get(_WIDTH, 0), found.get(_HEIGHT, 0), found.get(_BITS, 1)
    if bits > 16 or found.get(_SAMPLE_FORMAT, 1) == 3:
        raise UnknownFormatError("the TIFF has more than 16 bits, or floats: use cvsr upscale")
    if found.get(_TILE_WIDTH, 0) * found.get(_TILE_HEIGHT, 0) > max(width * height, 1 << 20):
        raise BrokenFileError("the TIFF has tiles that are larger than its picture")
    return Header(".tiff", width, height, max(4, found.get(_SAMPLES, 1)) * (2 if bits > 8 else 1))
