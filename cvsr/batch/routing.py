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

from cvsr.batch.memory import Budget
from cvsr.cli.bar import Bar
from cvsr.errors import FileError
from cvsr.io import encoder
from cvsr.io.formats import Format
from cvsr.io.tiff import directories
from cvsr.io.tiff.directories import Head
from cvsr.machine import resident
from cvsr.rasters import maps
from cvsr.rasters import normalize as samples
from cvsr.rasters.maps import Scene
from cvsr.rasters.page_metadata import icc
from cvsr.rasters.stacks import Stack
from cvsr.upscaler import Upscaler

log = logging.getLogger("cvsr")

Data = Path | bytes
"""A file: where it is, or its bytes."""

Opened = Stack | Scene


def head_of(source: Data) -> Head | None:
    """Return what a TIFF file holds; None for other files, and for pipes, which can be read once only."""
    if isinstance(source, bytes):
        return directories.read(memoryview(source))
    with suppress(OSError):  # said by those who read it
        if stat.S_ISREG(source.stat().st_mode):
            with source.open("rb") as stream:
                return directories.read(stream)
    return None


@dataclass
class Large:
    """Enlarges files row by row: those that must be, and those that lose less by it."""

    upscaler: Upscaler
    budget: Budget | None
    bar: Bar
    quality: int | None
    normalize: bool | None
    _left: int | None = None

    def opened(self, source: Data, head: Head, format: Format, piped: bool) -> Opened | None:
        """Return a TIFF file to be enlarged row by row into ``format``; None where OpenCV had better read it whole.

        ``piped``: the result goes to standard output.
        Raise FileError, MemoryBudgetError; OptionError where a package is missing that is needed.
        """
        name = "stdin" if isinstance(source, bytes) else str(source)
        to_tiff = format.name == "tiff"
        if head.pages > 1 and not to_tiff:
            raise FileError(f"{name} holds {head.pages} pages and {format.name} one: write tiff (--format tiff)")
        before = resident()
        if head.geo and head.pages == 1 and to_tiff and not isinstance(source, bytes) and self._maps(piped):
            return self._limited(Scene(source), before, format)
        must = head.pages > 1 or head.too_large
        if not must and not self._better(head, to_tiff):
            return None
        try:
            return self._limited(Stack(source), before, format)
        except FileError:  # a kind of pixels that perhaps OpenCV reads
            if must:
                raise
            return None

    def _limited(self, opened: Opened, before: int, format: Format) -> Opened:
        """Return a file, after letting the upscaler have what is left of the budget beside reading and writing it.

        ``before``: the bytes that the process held before it was opened.
        """
        try:
            held = opened.memory() if isinstance(opened, Stack) else opened.memory(self.upscaler)
            if isinstance(opened, Stack) and not format.streams:
                held += _whole(opened, self.upscaler, format)
            if self.budget is not None:
                self._left = self.budget.beside(held + max(0, resident() - before), format)
        except BaseException:
            opened.close()
            raise
        return opened

    def _maps(self, piped: bool) -> bool:
        """Tell whether a map can be written as one."""
        here = maps.is_here() and not piped
        if not here:
            way = "writing to a file" if maps.is_here() else 'pip install "cvsr[geo]"'
            log.warning("its place on the map is left out (%s keeps it)", way)
        return here

    def write(self, stack: Opened, format: Format, stream: BinaryIO) -> None:
        """Write the result of what was :meth:`opened` to ``stream``."""
        if format.name == "tiff" or isinstance(stack, Scene):
            stack.write(stream, self.upscaler, normalize=self.normalize, max_memory=self._left, progress=self._report)
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

    def _write_picture(self, stack: Stack, format: Format, stream: BinaryIO) -> None:
        """Write the only page in a format other than TIFF, row by row where that can be."""
        page = next(iter(stack.pages))
        channels = page.shape[2] if len(page.shape) == 3 else 1
        scale = stack.scales(None)[page.dtype]
        if channels not in format.channels or not scale.plain:
            raise FileError(f"{format.name} cannot hold its {channels} channels of {page.dtype}: write tiff")
        width, height = self.upscaler.output_size(page.shape[1], page.shape[0])
        dtype = encoder.dtype_for(page.dtype, format)
        shape = (height, width, *page.shape[2:])
        writer = encoder.open_writer(stream, format, shape, dtype, quality=self.quality, icc=icc(page))
        for rows in samples.enlarged(page, scale, self.upscaler, self._left, lambda share: self._report(share, 1)):
            writer.write(encoder.convert(rows, dtype))
        writer.close()


def _whole(stack: Stack, upscaler: Upscaler, format: Format) -> int:
    """Return the bytes of a result that is gathered before it is encoded."""
    page = next(iter(stack.pages))
    width, height = upscaler.output_size(page.shape[1], page.shape[0])
    return round(math.prod((width, height, *page.shape[2:])) * page.dtype.itemsize * (1 + format.overhead))
