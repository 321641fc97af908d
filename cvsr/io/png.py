"""PNG: writing row by row, so that a picture larger than memory can be written; a file's chunks, size and metadata."""

import struct
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from cvsr.image import Image
from cvsr.io.interface import EXIF, BrokenFileError, Facts, Header

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_COLOR_TYPE = {1: 0, 3: 2, 4: 6}
_BLOCK_BYTES = 1 << 18  # what is filtered at once: the int16 temporaries of a block stay in the cache
_IDAT_BYTES = 1 << 20
_PAETH = 4
_LARGEST_PROFILE = 1 << 24


class Chunk(NamedTuple):
    """One chunk of a PNG file: its name, and where its data lies."""

    name: bytes
    start: int
    stop: int


def chunks(data: memoryview) -> Iterator[Chunk]:
    """Yield the chunks of a PNG file, as far as the file is whole."""
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        length = struct.unpack_from(">I", data, at)[0]
        if at + 12 + length > len(data):
            return
        yield Chunk(bytes(data[at + 4 : at + 8]), at + 8, at + 8 + length)
        at += 12 + length


def header(data: memoryview) -> Header:
    """Return the size that a PNG states. Raise BrokenFileError."""
    name, width, height, depth = struct.unpack_from(">4sIIB", data, 12)
    if name != b"IHDR":
        raise BrokenFileError("the PNG does not begin with its header")
    return Header(".png", width, height, 8 if depth == 16 else 4)


def inspect(data: memoryview, _name: str) -> Facts:
    """Return EXIF and profile."""
    found = Facts()
    for name, start, stop in chunks(data):
        if name == b"eXIf" and found.exif is None:
            found.exif = bytes(data[start:stop]).removeprefix(EXIF)
        elif name == b"iCCP":
            found.icc = _profile(bytes(data[start:stop])) or None
    return found


def _profile(chunk: bytes) -> bytes:
    """Return the ICC profile in the data of an iCCP chunk; empty if it is broken, or larger than any profile."""
    compressed = chunk.partition(b"\0")[2][1:]
    inflate = zlib.decompressobj()
    try:
        icc = inflate.decompress(compressed, _LARGEST_PROFILE)
    except zlib.error:
        return b""
    return icc if inflate.eof else b""


class PngWriter:
    """Write a PNG file from bands of rows; memory holds a block of rows and about a megabyte of compressed data.

    All rows are filtered with Paeth's predictor and deflated by run lengths: on photos that is both smaller than
    what OpenCV writes by default and nearly as fast.
    """

    def __init__(
        self,
        stream: BinaryIO,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        *,
        exif: bytes | None = None,
        icc: bytes | None = None,
    ) -> None:
        self._stream = stream
        self._height, self._width = shape[:2]
        self._channels = shape[2] if len(shape) == 3 else 1
        self._dtype = dtype.newbyteorder(">")  # PNG is big-endian
        self._bytes_per_pixel = self._channels * self._dtype.itemsize
        self._row_bytes = self._width * self._bytes_per_pixel
        self._above = np.zeros((1, self._row_bytes), np.uint8)
        self._rows = 0
        self._deflate = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_RLE)
        self._compressed = bytearray()
        stream.write(SIGNATURE)
        depth, color = 8 * self._dtype.itemsize, _COLOR_TYPE[self._channels]
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", self._width, self._height, depth, color, 0, 0, 0))
        if icc:
            self._chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))
        if exif:
            self._chunk(b"eXIf", exif)

    def write(self, rows: Image) -> None:
        """Append ``rows``: (n, W) gray, (n, W, 3) BGR or (n, W, 4) BGRA, of the writer's dtype."""
        step = max(1, _BLOCK_BYTES // self._row_bytes)
        for start in range(0, rows.shape[0], step):
            self._write_block(rows[start : start + step])
        self._rows += rows.shape[0]

    def close(self) -> None:
        """Write what is left. Raise ValueError if rows are missing or too many."""
        if self._rows != self._height:
            raise ValueError(f"the PNG has {self._height} rows and {self._rows} were written")
        self._compressed += self._deflate.flush()
        self._chunk(b"IDAT", self._compressed)
        self._chunk(b"IEND", b"")

    def _write_block(self, rows: Image) -> None:
        count = rows.shape[0]
        rows = rows.reshape(count, self._width, self._channels)
        if self._channels >= 3:
            rows = rows[..., [2, 1, 0, 3][: self._channels]]
        raw = np.ascontiguousarray(rows, self._dtype).view(np.uint8).reshape(count, self._row_bytes)
        filtered = np.empty((count, 1 + self._row_bytes), np.uint8)
        filtered[:, 0] = _PAETH
        filtered[:, 1:] = paeth(np.concatenate([self._above, raw]), self._bytes_per_pixel)
        self._above = raw[-1:].copy()
        self._compressed += self._deflate.compress(filtered.data)
        if len(self._compressed) >= _IDAT_BYTES:
            self._chunk(b"IDAT", self._compressed)
            self._compressed.clear()

    def _chunk(self, name: bytes, data: bytes | bytearray) -> None:
        self._stream.write(struct.pack(">I", len(data)) + name)
        self._stream.write(data)
        self._stream.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(name))))


def paeth(rows: Image, step: int) -> Image:
    """Return uint8 ``rows`` except the first, minus Paeth's prediction (PNG, 9.4); ``step`` is the bytes per pixel."""
    known = rows.astype(np.int16)
    above = known[:-1]
    left, above_left = np.zeros_like(above), np.zeros_like(above)
    left[:, step:] = known[1:, :-step]
    above_left[:, step:] = above[:, :-step]
    to_left, to_above = above - above_left, left - above_left  # the distances of the estimate left + above - above_left
    to_above_left = np.abs(to_left + to_above)
    to_left, to_above = np.abs(to_left), np.abs(to_above)
    prediction = np.where(to_above <= to_above_left, above, above_left)
    prediction = np.where((to_left <= to_above) & (to_left <= to_above_left), left, prediction)
    return rows[1:] - prediction.astype(np.uint8)
