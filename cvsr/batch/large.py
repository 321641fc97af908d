"""TIFF files that are enlarged row by row, and not decoded as a whole by OpenCV: stacks, maps, giants."""

from __future__ import annotations

import importlib.util
import logging
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cvsr.batch.memory import Budget
from cvsr.errors import FileError, install_hint
from cvsr.inference.stages import Report
from cvsr.io import encoder
from cvsr.io.formats import Format
from cvsr.io.tiff import directories
from cvsr.io.tiff.directories import Head
from cvsr.machine import resident
from cvsr.options import Options
from cvsr.rasters import maps
from cvsr.rasters.maps import Scene
from cvsr.rasters.normalize import enlarged
from cvsr.rasters.page_metadata import icc
from cvsr.rasters.stacks import Stack
from cvsr.upscaler import Upscaler

log = logging.getLogger("cvsr")


def head_of(source: Path | bytes) -> Head | None:
    """Return what a TIFF file, a path or its bytes, contains; None for other files and for pipes."""
    if isinstance(source, bytes):
        return directories.read(memoryview(source))
    with suppress(OSError):  # reported by whatever reads it
        if stat.S_ISREG(source.stat().st_mode):
            with source.open("rb") as stream:
                return directories.read(stream)
    return None


def opened(
    source: Path | bytes,
    head: Head,
    format: Format,
    upscaler: Upscaler,
    budget: Budget | None,
    options: Options,
    *,
    piped: bool,
) -> LargeFile | None:
    """Return a TIFF file to be enlarged row by row into ``format``; None if OpenCV does better to read it as a whole.

    ``piped``: the result goes to standard output.
    Raise FileError, MemoryBudgetError; OptionError if a package is missing that the file needs.
    """
    name = "stdin" if isinstance(source, bytes) else str(source)
    to_tiff = format.name == "tiff"
    if head.pages > 1 and not to_tiff:
        raise FileError(f"{name} has {head.pages} pages, and {format.name} holds one: write tiff (--format tiff)")
    before = resident()
    if head.geo and head.pages == 1 and to_tiff and not isinstance(source, bytes) and _keeps_maps(piped):
        return LargeFile(Scene(source), format, upscaler, options).within(budget, before)
    must = head.pages > 1 or head.too_large
    if not must and not _better(head, to_tiff, limited=budget is not None, normalize=bool(options.normalize)):
        return None
    try:
        return LargeFile(Stack(source), format, upscaler, options).within(budget, before)
    except FileError:  # a kind of pixels that OpenCV may read
        if must:
            raise
        return None


def _keeps_maps(piped: bool) -> bool:
    """Tell whether a map can be written as one."""
    here = maps.is_here() and not piped
    if not here:
        way = "writing to a file" if maps.is_here() else install_hint("geo")
        log.warning("georeferencing is dropped (%s keeps it)", way)
    return here


def _better(head: Head, to_tiff: bool, *, limited: bool, normalize: bool) -> bool:
    """Tell whether a file that OpenCV may read as a whole is better read row by row."""
    odd = head.imagej or head.ome or head.samples not in ("uint8", "uint16") or normalize
    wanted = limited or (to_tiff and odd)
    if wanted and importlib.util.find_spec("tifffile") is None:
        if head.imagej or head.ome:
            log.warning("the pixel size is dropped (%s keeps it)", install_hint("tiff"))
        return False
    return wanted


@dataclass
class LargeFile:
    """A stack or a map that is open for reading; for ``with``."""

    source: Stack | Scene
    format: Format
    upscaler: Upscaler
    options: Options
    max_memory: int | None = None

    def __enter__(self) -> LargeFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()

    def within(self, budget: Budget | None, before: int) -> LargeFile:
        """Return the file itself, once the upscaler's share of ``budget`` beside reading and writing is known.

        ``before``: the bytes that the process held before the file was opened. Raise MemoryBudgetError.
        """
        source = self.source
        try:
            held = source.memory() if isinstance(source, Stack) else source.memory(self.upscaler)
            if isinstance(source, Stack) and not self.format.streams:
                held += round(source.result_bytes(self.upscaler) * (1 + self.format.overhead))
            if budget is not None:
                self.max_memory = budget.beside(held + max(0, resident() - before), self.format)
        except BaseException:
            source.close()
            raise
        return self

    def write(self, stream: BinaryIO, progress: Report | None, cancel: Callable[[], bool] | None) -> None:
        """Write the result to ``stream``. Raise FileError, MemoryBudgetError, Cancelled."""
        if isinstance(self.source, Stack) and self.format.name != "tiff":
            self._write_picture(self.source, stream, progress, cancel)
            return
        self.source.write(
            stream, self.upscaler, normalize=self.options.normalize or None, max_memory=self.max_memory,
            progress=progress, cancel=cancel,
        )  # fmt: skip

    def _write_picture(
        self, stack: Stack, stream: BinaryIO, progress: Report | None, cancel: Callable[[], bool] | None
    ) -> None:
        """Write the only page in a format other than TIFF, row by row if the format allows it."""
        page, format = next(iter(stack.pages)), self.format
        channels = page.shape[2] if len(page.shape) == 3 else 1
        scale = stack.scales(None)[page.dtype]
        if channels not in format.channels or not scale.plain:
            raise FileError(f"{format.name} cannot hold its {channels} channels of {page.dtype}: write tiff")
        dtype = encoder.dtype_for(page.dtype, format)
        width, height = self.upscaler.output_size(page.shape[1], page.shape[0])
        shape = (height, width, *page.shape[2:])
        writer = encoder.open_writer(stream, format, shape, dtype, quality=self.options.quality, icc=icc(page))
        for rows in enlarged(page, scale, self.upscaler, self.max_memory, progress, cancel):
            writer.write(encoder.convert(rows, dtype))
        writer.close()
