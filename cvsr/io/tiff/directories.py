"""What a TIFF file holds, from its directories alone: how many pages, how large, and whose metadata.

OpenCV reads the first page of a file and says nothing of the others, of pixel sizes and of coordinates on a map.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import BinaryIO

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _DESCRIPTION, _SAMPLE_FORMAT = 254, 256, 257, 258, 270, 339
_PLANES_OF_METAMORPH = 33629  # its count is the number of pictures that follow each other in one page
_GEO = frozenset((33550, 33922, 34264, 34735))  # pixel scale, tie points, transformation, keys
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_LETTERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
_NO_PAGE = 1 | 4  # bits of _SUBFILE: a smaller copy of a page, a mask for one
_LARGEST, _LONGEST = 1 << 30, 1 << 20  # pixels that OpenCV agrees to read, and how many in one direction


@dataclass
class Head:
    """What the directories of a file say; of the first page where it is about one.

    ``pages`` counts pictures, not their smaller copies and masks; ``at``: which directories are theirs, as far as they
    have any. ``samples``: "uint8", "int16", "float32" …
    ``imagej``, ``ome`` and ``geo`` tell whose metadata is there; ``broken``, that more pages are announced than found.
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


Fetch = Callable[[int, int], bytes]
"""Gives as many bytes of a file from an offset on; fewer at its end."""


def read(file: BinaryIO | memoryview) -> Head | None:
    """Return what a TIFF file (seekable, or its bytes) holds, None where it is no such file or has no whole page."""
    head: Head | None = None

    def fetch(offset: int, count: int) -> bytes:
        if isinstance(file, memoryview):
            return bytes(file[offset : offset + count])
        file.seek(offset)
        return file.read(count)

    try:
        for number, entries in enumerate(_directories(fetch)):
            if entries.number(_SUBFILE, 0) & _NO_PAGE:
                continue
            if head is None:
                head = _first(entries)
            else:
                head.pages += 1
            head.at.append(number)
    except (struct.error, OverflowError, MemoryError, KeyError):
        if head:
            head.broken = True
    return head


def _first(entries: _Entries) -> Head:
    kind = {2: "int", 3: "float"}.get(entries.number(_SAMPLE_FORMAT, 1), "uint")
    samples = f"{kind}{entries.number(_BITS, 1)}"
    head = Head(1, entries.number(_WIDTH, 0), entries.number(_HEIGHT, 0), samples)
    text = entries.raw(_DESCRIPTION).rstrip(b"\0 \n")
    head.imagej = text.startswith(b"ImageJ=")
    head.ome = text.endswith(b"OME>")
    head.geo = not _GEO.isdisjoint(entries.at)
    head.pages += _unlisted(text, entries)
    return head


def _unlisted(text: bytes, entries: _Entries) -> int:
    """Return how many pictures lie behind the first one without a directory of their own, if they are told.

    ImageJ writes stacks of more than 4 GB so, MetaMorph all, tifffile on request.
    """
    if _PLANES_OF_METAMORPH in entries.at:
        return max(0, entries.at[_PLANES_OF_METAMORPH][1] - 1)
    if text.startswith(b"ImageJ=") and entries.is_last:
        told = dict(line.split(b"=", 1) for line in text.splitlines() if b"=" in line)
        return max(0, int(told.get(b"images", b"1")) - 1) if told.get(b"images", b"1").isdigit() else 0
    if text.startswith(b'{"shape"') and entries.is_last:
        with suppress(ValueError, LookupError, TypeError):
            told = json.loads(text)
            return int(bool(told.get("truncated")))
    return 0


class _Entries:
    """The entries of one directory: by tag, their type, count and the offset of their value."""

    def __init__(self, fetch: Fetch, order: str, at: dict[int, tuple[int, int, int]], is_last: bool) -> None:
        self._fetch, self._order, self.at, self.is_last = fetch, order, at, is_last

    def raw(self, tag: int) -> bytes:
        """Return the bytes of a value, none where there is no such tag."""
        if tag not in self.at:
            return b""
        kind, count, offset = self.at[tag]
        return self._fetch(offset, _SIZES[kind] * count)

    def number(self, tag: int, default: int) -> int:
        """Return the first number of a value."""
        raw = self.raw(tag)
        return struct.unpack_from(self._order + _LETTERS[self.at[tag][0]], raw)[0] if raw else default


def _directories(fetch: Fetch) -> Iterator[_Entries]:
    """Yield the directories that the file links to, one after the other. Raise struct.error at a broken one."""
    magic = fetch(0, 16)
    order = {b"II": "<", b"MM": ">"}.get(magic[:2], "")
    version = struct.unpack_from(order + "H", magic, 2)[0] if order else 0
    if version not in (42, 43):
        return
    big = version == 43
    head, entry, link = (
        (order + "Q", order + "HHQQ", order + "Q") if big else (order + "H", order + "HHII", order + "I")
    )
    inline, size = (8, 20) if big else (4, 12)
    at: int = struct.unpack_from(link, magic, 8 if big else 4)[0]
    seen: set[int] = set()
    while at and at not in seen:
        seen.add(at)
        first = at + struct.calcsize(head)
        count: int = struct.unpack(head, fetch(at, struct.calcsize(head)))[0]
        block = fetch(first, size * min(count, 1 << 16))
        entries: dict[int, tuple[int, int, int]] = {}
        for i in range(count):
            tag, kind, length, value = struct.unpack_from(entry, block, i * size)
            inside = _SIZES.get(kind, 1) * length <= inline
            entries[tag] = kind, length, first + (i + 1) * size - inline if inside else value
        at = struct.unpack(link, fetch(first + count * size, struct.calcsize(link)))[0]
        yield _Entries(fetch, order, entries, at == 0)
