"""Which files ``cvsr upscale`` does not read whole by OpenCV, and how it enlarges those: stacks, maps, giants."""

from __future__ import annotations

import importlib.util
import logging
import math
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cvsr import formats, tiffhead
from cvsr.cli_memory import Budget, resident
from cvsr.errors import FileError
from cvsr.formats import Format
from cvsr.progress import Bar
from cvsr.stacks import Stack
from cvsr.tiffhead import Head
from cvsr.tiffmeta import icc
from cvsr.upscaler import Upscaler

log = logging.getLogger("cvsr")

Data = Path | bytes
"""A file: where it is, or its bytes."""


def head_of(source: Data) -> Head | None:
    """Return what a TIFF file holds; None for other files, and for pipes, which can be read once only."""
    if isinstance(source, bytes):
        return tiffhead.read(memoryview(source))
    with suppress(OSError):  # said by those who read it
        if stat.S_ISREG(source.stat().st_mode):
            with source.open("rb") as stream:
                return tiffhead.read(stream)
    return None


@dataclass
class Large:
    """Enlarges files row by row: those that must be, and those that lose less by it."""

    upscaler: Upscaler
    budget: Budget | None
    bar: Bar
    quality: int | None
    normalize: bool | None

    def opened(self, source: Data, head: Head, format: Format) -> Stack | None:
        """Return a TIFF file to be enlarged row by row into ``format``; None where OpenCV had better read it whole.

        Raise FileError, MemoryBudgetError; OptionError where a package is missing that is needed.
        """
        name = "stdin" if isinstance(source, bytes) else str(source)
        to_tiff = format.name == "tiff"
        if head.pages > 1 and not to_tiff:
            raise FileError(f"{name} holds {head.pages} pages and {format.name} one: write tiff (--format tiff)")
        must = head.pages > 1 or head.too_large
        if not must and not self._better(head, to_tiff):
            return None
        before = resident()
        stack = Stack(source)
        try:
            self._limit(stack.memory() + max(0, resident() - before), stack, format)
        except FileError:
            stack.close()
            if must:
                raise
            return None  # a kind of pixels that perhaps OpenCV reads
        return stack

    def write(self, stack: Stack, format: Format, stream: BinaryIO) -> None:
        """Write the result of what was :meth:`opened` to ``stream``."""
        if format.name == "tiff":
            stack.write(stream, self.upscaler, normalize=self.normalize, progress=self._report)
        else:
            self._write_picture(stack, format, stream)

    def _report(self, done: float, total: int) -> None:
        self.bar.update(round(1000 * done), 1000 * total)

    def _better(self, head: Head, to_tiff: bool) -> bool:
        """Tell whether a file that OpenCV may read whole had better be read row by row."""
        odd = head.imagej or head.ome or head.samples not in ("uint8", "uint16") or self.normalize
        wanted = self.budget is not None or (to_tiff and odd)
        if wanted and importlib.util.find_spec("tifffile") is None:
            if head.imagej or head.ome:
                log.warning('its pixel size is left out (pip install "cvsr[tiff]" keeps it)')
            return False
        return bool(wanted)

    def _limit(self, held: int, stack: Stack, format: Format) -> None:
        """Let the upscaler have what is left of the budget when ``held`` bytes are taken by all else."""
        if self.budget is None:
            return
        page = next(iter(stack.pages))
        if not format.streams:
            width, height = self.upscaler.output_size(page.shape[1], page.shape[0])
            held += round(math.prod((width, height, *page.shape[2:])) * page.dtype.itemsize * (1 + format.overhead))
        left = self.budget.beside(held, format)
        self.upscaler.max_memory = left // 2 if any(page.shape[2:] == (4,) for page in stack.pages) else left

    def _write_picture(self, stack: Stack, format: Format, stream: BinaryIO) -> None:
        """Write the only page in a format other than TIFF, row by row where that can be."""
        page = next(iter(stack.pages))
        channels = page.shape[2] if len(page.shape) == 3 else 1
        scale = stack.scales(None)[page.dtype]
        if channels not in format.channels or not scale.plain:
            raise FileError(f"{format.name} cannot hold its {channels} channels of {page.dtype}: write tiff")
        width, height = self.upscaler.output_size(page.shape[1], page.shape[0])
        dtype = formats.dtype_for(page.dtype, format)
        shape = (height, width, *page.shape[2:])
        writer = formats.open_writer(stream, format, shape, dtype, quality=self.quality, icc=icc(page))
        for rows in stack.enlarged(page, scale, self.upscaler, lambda share: self._report(share, 1)):
            writer.write(formats.convert(rows, dtype))
        writer.close()
