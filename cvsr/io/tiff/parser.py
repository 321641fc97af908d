"""The parser of TIFF structures: directories and their entries, in files of any size and in EXIF blocks.

Nothing is trusted: what is cut short raises struct.error, and a chain of directories that bites its tail ends there.
"""

import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

Buffer = bytes | bytearray | memoryview

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SRATIONAL, LONG8 = 1, 2, 3, 4, 5, 7, 10, 16
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of one value, by type."""
LETTERS = {BYTE: "B", SHORT: "H", LONG: "I", LONG8: "Q"}
"""What unsigned integers are to ``struct``, by type."""

_MOST_ENTRIES = 1 << 16


@dataclass(frozen=True)
class TagEntry:
    """One entry of a directory: ``count`` values of type ``kind`` that lie at the offset ``at``."""

    tag: int
    kind: int
    count: int
    at: int


class Directory:
    """The directory at an offset; iterating gives its entries. ``order`` is the byte order, as ``struct`` writes it."""

    def __init__(self, fetch: Callable[[int, int], bytes], order: str, big: bool, at: int) -> None:
        self.order, self.big = order, big
        self._fetch = fetch
        head = order + ("Q" if big else "H")
        self._count: int = struct.unpack(head, fetch(at, struct.calcsize(head)))[0]
        self._start = at + struct.calcsize(head)
        self._size = 20 if big else 12
        self.link_at = self._start + self._count * self._size

    def __iter__(self) -> Iterator[TagEntry]:
        block = self._fetch(self._start, self._size * min(self._count, _MOST_ENTRIES))
        form, inline = (self.order + "HHQQ", 8) if self.big else (self.order + "HHII", 4)
        for i in range(self._count):
            tag, kind, count, value = struct.unpack_from(form, block, i * self._size)
            inside = SIZES.get(kind, 1) * count <= inline
            yield TagEntry(tag, kind, count, self._start + (i + 1) * self._size - inline if inside else value)

    def raw(self, entry: TagEntry) -> bytes:
        """Return the bytes of a value, fewer if the file ends. Raise KeyError if its type does not exist."""
        return self._fetch(entry.at, SIZES[entry.kind] * entry.count)

    def number(self, entry: TagEntry) -> int:
        """Return the first number of a value. Raise KeyError if it is not an unsigned integer."""
        form = self.order + LETTERS[entry.kind]
        return struct.unpack(form, self._fetch(entry.at, struct.calcsize(form)))[0]

    def link(self) -> int:
        """Return the offset of the next directory, 0 if this is the last one."""
        form = self.order + ("Q" if self.big else "I")
        return struct.unpack(form, self._fetch(self.link_at, struct.calcsize(form)))[0]


def directories(file: BinaryIO | Buffer) -> Iterator[Directory]:
    """Yield the directories of a TIFF file (seekable) or its bytes, none if it is another kind of file."""

    def fetch(offset: int, count: int) -> bytes:
        if isinstance(file, Buffer):
            return bytes(file[offset : offset + count])
        file.seek(offset)
        return file.read(count)

    magic = fetch(0, 16)
    order = {b"II": "<", b"MM": ">"}.get(magic[:2], "")
    version = struct.unpack_from(order + "H", magic, 2)[0] if order else 0
    if version not in (42, 43):
        return
    big = version == 43
    at: int = struct.unpack_from(order + ("Q" if big else "I"), magic, 8 if big else 4)[0]
    seen: set[int] = set()
    while at and at not in seen:
        seen.add(at)
        directory = Directory(fetch, order, big, at)
        yield directory
        at = directory.link()


def first(data: Buffer) -> Directory | None:
    """Return the first directory of a TIFF structure, None if there is none."""
    with suppress(struct.error):
        return next(directories(data), None)
    return None
