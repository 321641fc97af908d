"""A summary of a TIFF file from its directories alone: how many pages, how large, and whose metadata.

OpenCV reads the first page of a file and reports nothing of the others, of pixel sizes and of coordinates on a map.
"""

import json
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from typing import BinaryIO

from cvsr.io.tiff import parser
from cvsr.io.tiff.parser import Directory, TagEntry

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _DESCRIPTION, _SAMPLE_FORMAT = 254, 256, 257, 258, 270, 339
_PLANES_OF_METAMORPH = 33629  # its count is the number of pictures that follow each other in one page
_GEO = frozenset((33550, 33922, 34264, 34735))  # pixel scale, tie points, transformation, keys
_NO_PAGE = 1 | 4  # bits of _SUBFILE: a smaller copy of a page, a mask for one
_LARGEST, _LONGEST = 1 << 30, 1 << 20  # pixels that OpenCV agrees to read, and how many in one direction


@dataclass
class Head:
    """The summary of a file; sizes and samples are those of the first page.

    ``pages`` counts pictures, not their smaller copies and masks; ``at``: the numbers of their directories, as far as
    they have any. ``samples``: "uint8", "int16", "float32" …
    ``imagej``, ``ome`` and ``geo``: which kinds of metadata it has; ``broken``: pages are linked that are not there.
    """

    pages: int
    width: int
    height: int
    samples: str
    imagej: bool = False
    ome: bool = False
    geo: bool = False
    broken: bool = False
    at: list[int] = field(default_factory=list[int])

    @property
    def too_large(self) -> bool:
        """Tell whether OpenCV refuses to read a picture of this size."""
        return self.width * self.height > _LARGEST or max(self.width, self.height) > _LONGEST


def read(file: BinaryIO | memoryview) -> Head | None:
    """Return the summary of a TIFF file (seekable, or its bytes), None for other files and those without a page."""
    head: Head | None = None
    try:
        for number, directory in enumerate(parser.directories(file)):
            entries = {entry.tag: entry for entry in directory}
            is_last = directory.link() == 0
            if _number(directory, entries, _SUBFILE, 0) & _NO_PAGE:
                continue
            if head is None:
                head = _first(directory, entries, is_last)
            else:
                head.pages += 1
            head.at.append(number)
    except (struct.error, OverflowError, MemoryError, KeyError):
        if head:
            head.broken = True
    return head


def _number(directory: Directory, entries: dict[int, TagEntry], tag: int, default: int) -> int:
    return directory.number(entries[tag]) if tag in entries and entries[tag].count else default


def _first(directory: Directory, entries: dict[int, TagEntry], is_last: bool) -> Head:
    width, height = (_number(directory, entries, tag, 0) for tag in (_WIDTH, _HEIGHT))
    kind = {2: "int", 3: "float"}.get(_number(directory, entries, _SAMPLE_FORMAT, 1), "uint")
    head = Head(1, width, height, f"{kind}{_number(directory, entries, _BITS, 1)}")
    text = directory.raw(entries[_DESCRIPTION]).rstrip(b"\0 \n") if _DESCRIPTION in entries else b""
    head.imagej = text.startswith(b"ImageJ=")
    head.ome = text.endswith(b"OME>")
    head.geo = not _GEO.isdisjoint(entries)
    head.pages += _unlisted(text, entries, is_last)
    return head


def _unlisted(text: bytes, entries: dict[int, TagEntry], is_last: bool) -> int:
    """Return how many pictures follow the first one without directories of their own, as far as metadata tells.

    ImageJ writes stacks of more than 4 GB so, MetaMorph all, tifffile on request.
    """
    if _PLANES_OF_METAMORPH in entries:
        return max(0, entries[_PLANES_OF_METAMORPH].count - 1)
    if text.startswith(b"ImageJ=") and is_last:
        told = dict(line.split(b"=", 1) for line in text.splitlines() if b"=" in line)
        return max(0, int(told.get(b"images", b"1")) - 1) if told.get(b"images", b"1").isdigit() else 0
    if text.startswith(b'{"shape"') and is_last:
        with suppress(ValueError, LookupError, TypeError):
            return int(bool(json.loads(text).get("truncated")))
    return 0
