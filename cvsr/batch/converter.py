"""One job of a run: a file is read, enlarged and written."""

from __future__ import annotations

import argparse
import math
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cvsr.batch.jobs import PIPE, Job
from cvsr.batch.memory import Budget
from cvsr.batch.routing import Large, head_of
from cvsr.cli.bar import Bar
from cvsr.errors import FileError
from cvsr.image import Image
from cvsr.io import atomic, encoder, formats, reader
from cvsr.io.formats import Format
from cvsr.io.interface import Writer
from cvsr.machine import peak, resident
from cvsr.options import memory_size
from cvsr.upscaler import Upscaler

_FEED_BYTES = 1 << 20  # rows are converted and written in portions of about this size, however high a band is


class Converter:
    """Turns one file after the other, with one upscaler and within one budget of memory."""

    def __init__(self, args: argparse.Namespace, bar: Bar, forced: Format | None) -> None:
        limit = memory_size(args.max_memory) if args.max_memory else None
        options = {"size": args.size, "device": args.device, "exact": args.exact, "effort": args.effort}
        self._upscaler = Upscaler(args.model, args.scale, **options)
        self._budget = Budget(limit, resident()) if limit else None
        self._quality: int | None = args.quality
        self._bar = bar
        self._forced = forced
        self._large = Large(self._upscaler, self._budget, bar, args.quality, args.normalize or None)

    def convert(
        self,
        job: Job,
        check: Callable[[], object] = lambda: None,
        *,
        progress: Callable[[int, int], None] | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> None:
        """Read, upscale and write one file. Raise FileError, ImageError, MemoryBudgetError or Cancelled.

        ``check`` is called before the result takes its name: it may raise what speaks against that. ``progress`` gets
        (done, total), else the bar does.
        """
        data = sys.stdin.buffer.read() if job.source == PIPE else job.source
        head = head_of(data)
        stack = self._large.opened(data, head, self._format(job, ".tiff"), job.target == PIPE) if head else None
        if stack is not None:
            with stack, _written(job.target, check) as stream:
                self._large.write(stack, self._format(job, ".tiff"), stream)
            return
        picture = self._read(data)
        format = self._format(job, picture.suffix)
        with _written(job.target, check) as stream:
            self._upscale(picture, format, stream, progress or self._bar.update, cancel)

    def _format(self, job: Job, suffix: str) -> Format:
        """Return the format to write, for a source with that ``suffix``."""
        suffix = formats.result_suffix(suffix) if job.target == PIPE else job.target.suffix
        format = self._forced or formats.format_of(suffix)
        if format is None:
            raise FileError(f"{job.target}: OpenCV cannot write such files; use --format png")
        return format

    def _read(self, source: Path | bytes) -> reader.Picture:
        before = peak()
        if isinstance(source, bytes):
            picture = reader.decode(np.frombuffer(bytearray(source), np.uint8), "stdin")
        else:
            picture = reader.read(source)
        if self._budget:
            self._budget.check_reading(before)
        return picture

    def _upscale(
        self,
        picture: reader.Picture,
        format: Format,
        stream: BinaryIO,
        progress: Callable[[int, int], None],
        cancel: Callable[[], bool] | None,
    ) -> None:
        image = encoder.fit(picture.image, format)
        dtype = encoder.dtype_for(image.dtype, format)
        width, height = self._upscaler.output_size(image.shape[1], image.shape[0])
        shape = (height, width, *image.shape[2:])
        whole = self._upscaler.interpolates
        left = self._budget and self._budget.left(image, math.prod(shape), dtype, format, in_memory=whole)
        writer = encoder.open_writer(
            stream, format, shape, dtype, quality=self._quality, exif=picture.exif, icc=picture.icc
        )
        for band in self._upscaler.bands(
            image, max_memory=left, progress=lambda p: progress(p.done, p.total), cancel=cancel
        ):
            _feed(writer, band, dtype)
        writer.close()


def _feed(writer: Writer, band: Image, dtype: np.dtype[Any]) -> None:
    step = max(1, _FEED_BYTES // max(1, band[:1].nbytes))
    for start in range(0, band.shape[0], step):
        writer.write(encoder.convert(band[start : start + step], dtype))


@contextmanager
def _written(target: Path, check: Callable[[], object]) -> Generator[BinaryIO, None, None]:
    with _stdout() if target == PIPE else atomic.atomic(target) as stream:
        yield stream
        check()


@contextmanager
def _stdout() -> Generator[BinaryIO, None, None]:
    """Gather a file that goes to standard output when it is whole: a reader gets all of it or nothing."""
    try:
        with tempfile.TemporaryFile() as stream:
            yield stream
            stream.seek(0)
            shutil.copyfileobj(stream, sys.stdout.buffer)
            sys.stdout.buffer.flush()
    except (FileError, BrokenPipeError):
        raise
    except OSError as error:
        raise FileError(f"standard output cannot be written: {error.strerror or error}") from error
