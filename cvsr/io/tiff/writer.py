"""Writing TIFF files strip by strip; OpenCV can only write whole pictures."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from cvsr.image import Image
from cvsr.io.tiff.parser import LETTERS, LONG, LONG8, SHORT, SIZES, UNDEFINED
from cvsr.io.tiff.tags import EXTRA_SAMPLES, ICC_PROFILE, PHOTOMETRIC, UNASSOCIATED

_STRIP_BYTES = 1 << 18
_BIG = (1 << 32) - (1 << 24)  # strips of noise grow a little under deflate, and directories come on top

Tags = Mapping[int, tuple[int, "list[int] | bytes"]]
"""Values by tag: their type, and numbers or (of any type) the bytes in little endian order."""


def needs_big(pixels: int) -> bool:
    """Tell whether a file with that many bytes of pixels must be a BigTIFF."""
    return pixels > _BIG


class TiffWriter:
    """Write a page of a TIFF file from bands of rows, so that no more than a strip of it is ever in memory.

    ``deflate`` compresses strips, ``predict`` applies horizontal prediction to integers before. Files that could exceed
    4 GiB become BigTIFF, unless ``big`` decides, as for files of several pages. ``tags`` are added to those that
    describe the pixels, or replace them. ``one_strip``: declare pixels that are not deflated as one strip.
    ``stream`` must be seekable: directories are written at the end and linked from the start. A page that is not the
    ``first`` is written after :meth:`flush` of the one before it, and closed after it.
    """

    def __init__(
        self,
        stream: BinaryIO,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        *,
        icc: bytes | None = None,
        tags: Tags | None = None,
        deflate: bool = True,
        predict: bool = True,
        one_strip: bool = False,
        big: bool | None = None,
        first: bool = True,
    ) -> None:
        self._stream = stream
        self._height, self._width = shape[:2]
        self._channels = shape[2] if len(shape) == 3 else 1
        self._dtype = dtype.newbyteorder("<")
        self._deflate, self._predict = deflate, deflate and predict and dtype.kind != "f"
        self._tags = {**({ICC_PROFILE: (UNDEFINED, icc)} if icc else {}), **(tags or {})}
        row = self._width * self._channels * self._dtype.itemsize
        self._rows_per_strip = min(self._height, max(1, _STRIP_BYTES // row))
        self._big = needs_big(row * self._height) if big is None else big
        self._pending: list[Image] = []
        self._pending_rows = self._rows = 0
        self._offsets: list[int] = []
        self._counts: list[int] = []
        self._one_strip = one_strip and not deflate
        self._next = 0  # the offset of the link to the next page's directory
        if first:
            self._stream.write(
                struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0) if self._big else struct.pack("<2sHI", b"II", 42, 0)
            )

    def write(self, rows: Image) -> None:
        """Append ``rows``: (n, W) gray, (n, W, 3) BGR or (n, W, 4) BGRA, of the writer's dtype."""
        self._rows += rows.shape[0]
        while rows.shape[0]:
            part = rows[: self._rows_per_strip - self._pending_rows]
            rows = rows[part.shape[0] :]
            self._pending.append(part)
            self._pending_rows += part.shape[0]
            if self._pending_rows == self._rows_per_strip:
                self._write_strip()
            else:
                self._pending[-1] = part.copy()  # a view would keep the caller's whole band alive

    def flush(self) -> None:
        """Write the last strip. Raise ValueError if rows are missing or too many."""
        if self._rows != self._height:
            raise ValueError(f"the TIFF has {self._height} rows and {self._rows} were written")
        if self._pending_rows:
            self._write_strip()

    def close(self, before: TiffWriter | None = None) -> None:
        """Write what is left and the directory, linked from that of the page ``before``. Raise as :meth:`flush`."""
        self.flush()
        start = self._stream.seek(0, 2)
        if start % 2:
            self._stream.write(b"\0")
            start += 1
        tags = self._directory()
        self._stream.write(_pack_directory(tags, start, self._big))
        self._next = start + (8 + 20 * len(tags) if self._big else 2 + 12 * len(tags))
        self._stream.seek(before._next if before else (8 if self._big else 4))
        self._stream.write(struct.pack("<Q" if self._big else "<I", start))
        self._stream.seek(0, 2)

    def _write_strip(self) -> None:
        rows = np.concatenate(self._pending).reshape(self._pending_rows, self._width, self._channels)
        self._pending, self._pending_rows = [], 0
        if self._channels >= 3:
            rows = rows[..., [2, 1, 0, 3][: self._channels]]
        if self._predict:  # prediction 2: each sample less the one to its left, modulo its range
            rows = np.concatenate([rows[:, :1], rows[:, 1:] - rows[:, :-1]], axis=1)
        strip = rows.astype(self._dtype, copy=False).tobytes()
        strip = zlib.compress(strip, 1) if self._deflate else strip
        self._offsets.append(self._stream.tell())
        self._counts.append(len(strip))
        self._stream.write(strip)

    def _directory(self) -> list[tuple[int, int, list[int] | bytes]]:
        channels, offset_type = self._channels, LONG8 if self._big else LONG
        if self._one_strip:
            self._offsets, self._counts, self._rows_per_strip = self._offsets[:1], [sum(self._counts)], self._height
        tags: dict[int, tuple[int, list[int] | bytes]] = {
            256: (LONG, [self._width]),
            257: (LONG, [self._height]),
            258: (SHORT, [8 * self._dtype.itemsize] * channels),
            259: (SHORT, [8 if self._deflate else 1]),
            PHOTOMETRIC: (SHORT, [2 if channels >= 3 else 1]),  # RGB or black is zero
            273: (offset_type, self._offsets),
            277: (SHORT, [channels]),
            278: (LONG, [self._rows_per_strip]),
            279: (offset_type, self._counts),
            284: (SHORT, [1]),  # channels interleaved
            317: (SHORT, [2 if self._predict else 1]),
            **({EXTRA_SAMPLES: (SHORT, [UNASSOCIATED])} if channels == 4 else {}),
            339: (SHORT, [{"u": 1, "i": 2}.get(self._dtype.kind, 3)] * channels),  # sample format
            **self._tags,
        }
        return [(tag, *tags[tag]) for tag in sorted(tags)]


def _pack_directory(tags: list[tuple[int, int, list[int] | bytes]], start: int, big: bool) -> bytes:
    """Return a directory that will lie at ``start``, its values that are too long to be inline behind it."""
    inline, count_letter = (8, "Q") if big else (4, "I")
    entry_size = 4 + 2 * inline
    head = struct.pack("<" + ("Q" if big else "H"), len(tags))
    behind_at = start + len(head) + entry_size * len(tags) + inline
    entries, behind = b"", b""
    for tag, kind, values in tags:
        raw = values
        if not isinstance(raw, bytes):
            raw = struct.pack(f"<{len(raw)}{LETTERS[kind]}", *raw)
        entries += struct.pack("<HH" + count_letter, tag, kind, len(raw) // SIZES[kind])
        if len(raw) <= inline:
            entries += raw.ljust(inline, b"\0")
        else:
            entries += struct.pack("<" + count_letter, behind_at + len(behind))
            behind += raw + b"\0" * (len(raw) % 2)
    return head + entries + bytes(inline) + behind
