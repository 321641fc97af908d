"""What ``cvsr upscale`` does: plan the files, upscale one after the other, say at the end what became of them."""

from __future__ import annotations

import argparse
import logging
import math
import shutil
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO

import numpy as np

from cvsr import cli_jobs, cli_together, files, folder, formats
from cvsr.cli_jobs import PIPE
from cvsr.cli_large import Large, head_of
from cvsr.cli_memory import Budget, peak, resident
from cvsr.errors import Cancelled, DeviceError, FileError, ModelError, OpenCVError
from cvsr.folder import Job
from cvsr.formats import Array, Format, Writer
from cvsr.options import memory_size
from cvsr.progress import Bar
from cvsr.upscaler import Upscaler

_FEED_BYTES = 1 << 20  # rows are converted and written in portions of about this size, however high a band is


@dataclass
class Outcome:
    """What became of the files of a run."""

    bar: Bar
    total: int
    written: int = 0
    skipped: list[str] = field(default_factory=list[str])
    failed: list[str] = field(default_factory=list[str])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def attempt(
        self,
        converter: Converter,
        job: Job,
        progress: Callable[[int, int], None],
        cancel: Callable[[], bool] | None = None,
    ) -> None:
        """Do one job; whatever is wrong with its files is noted and does not stop the others."""
        if job.skip:
            self.skipped.append(job.skip)
            return
        name = "stdin" if job.source == PIPE else str(job.source)
        try:
            if job.refusal:
                raise FileError(f"{name}: {job.refusal}")
            converter.convert(job, progress=progress, cancel=cancel)
            with self._lock:  # others may be at work beside this one
                self.written += 1
        except (Cancelled, DeviceError, ModelError, OpenCVError, BrokenPipeError):
            raise  # it would go the same way with the next file
        except Exception as error:
            text = str(error) or type(error).__name__
            self.failed.append(text if text.startswith((name, str(job.target))) else f"{name}: {text}")

    def say(self, stopped: bool) -> None:
        """Say how many files were written, skipped and failed, and why."""
        self.bar.clear()
        for failure in self.failed:
            self.bar.say(f"cvsr: failed: {failure}")
        why = f" ({self.skipped[0]})" if len(self.skipped) == 1 else " (done already; --overwrite does them again)"
        parts = [f"{self.written} written", f"{len(self.skipped)} skipped{why if self.skipped else ''}"]
        parts.append(f"{len(self.failed)} failed")
        if stopped:
            left = self.total - self.written - len(self.skipped) - len(self.failed)
            parts.append(f"stopped with {left} to go: the same command goes on from here")
        self.bar.say("cvsr: " + ", ".join(parts))


def main(args: argparse.Namespace) -> int:
    """Run ``cvsr upscale`` and return the exit code; raise what is wrong with the arguments or the machine."""
    bar = Bar(sys.stderr)
    with stopped_by_signals() as caught, notes_to(bar):
        forced = cli_jobs.format_named(args.format) if args.format else None
        jobs = cli_jobs.plan(args, forced)
        work = _way(args, bar, forced, jobs)
        outcome = Outcome(bar, len(jobs))
        stopped = True
        try:
            for parent in {job.target.parent for job in jobs if job.target != PIPE}:
                folder.remove_leftovers(parent)
            work(jobs, outcome)
            stopped = False
        except KeyboardInterrupt:
            return 128 + (caught[0] if caught else signal.SIGINT)
        finally:
            if stopped or outcome.failed or not any(job.target == PIPE for job in jobs):
                outcome.say(stopped)
        return 1 if outcome.failed else 0


def _way(
    args: argparse.Namespace, bar: Bar, forced: Format | None, jobs: list[Job]
) -> Callable[[list[Job], Outcome], None]:
    """Return what does the jobs: this process, one or two at a time, or the workers of a cluster."""
    if args.scheduler:
        from cvsr import cluster  # it needs dask, and this module

        return partial(cluster.run, args)
    several = len(jobs) > 1 and not args.max_memory and all(PIPE not in (job.source, job.target) for job in jobs)
    return partial(cli_together.run if several else _one_by_one, Converter(args, bar, forced))


def _one_by_one(converter: Converter, jobs: list[Job], outcome: Outcome) -> None:
    for number, job in enumerate(jobs, 1):
        outcome.bar.start(job.source.name if len(jobs) == 1 else f"{number}/{len(jobs)} {job.source.name}")
        outcome.attempt(converter, job, outcome.bar.update)


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

    def _read(self, source: Path | bytes) -> files.Picture:
        before = peak()
        if isinstance(source, bytes):
            picture = files.decode(np.frombuffer(bytearray(source), np.uint8), "stdin")
        else:
            picture = files.read(source)
        if self._budget:
            self._budget.check_reading(before)
        return picture

    def _upscale(
        self,
        picture: files.Picture,
        format: Format,
        stream: BinaryIO,
        progress: Callable[[int, int], None],
        cancel: Callable[[], bool] | None,
    ) -> None:
        image = formats.fit(picture.image, format)
        dtype = formats.dtype_for(image.dtype, format)
        width, height = self._upscaler.output_size(image.shape[1], image.shape[0])
        shape = (height, width, *image.shape[2:])
        if self._budget:
            self._upscaler.max_memory = self._budget.left(
                image, math.prod(shape), dtype, format, in_memory=self._upscaler.interpolates
            )
        writer = formats.open_writer(
            stream, format, shape, dtype, quality=self._quality, exif=picture.exif, icc=picture.icc
        )
        for band in self._upscaler.bands(image, progress=lambda p: progress(p.done, p.total), cancel=cancel):
            _feed(writer, band, dtype)
        writer.close()


def _feed(writer: Writer, band: Array, dtype: np.dtype[Any]) -> None:
    step = max(1, _FEED_BYTES // max(1, band[:1].nbytes))
    for start in range(0, band.shape[0], step):
        writer.write(formats.convert(band[start : start + step], dtype))


@contextmanager
def _written(target: Path, check: Callable[[], object]) -> Generator[BinaryIO, None, None]:
    with _stdout() if target == PIPE else folder.atomic(target) as stream:
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


@contextmanager
def stopped_by_signals(patience: int = 0) -> Generator[list[int], None, None]:
    """Turn the signals that end a process into KeyboardInterrupt, so that temporary files go; yield those that came.

    The first ``patience`` of them are only put on the list.
    """
    caught: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        if len(caught) > patience:
            raise KeyboardInterrupt

    before: dict[int, Any] = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is None or signal.getsignal(number) is signal.SIG_IGN:  # as under nohup
            continue
        try:
            before[number] = signal.signal(number, stop)
        except ValueError:  # not in the main thread
            break
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def notes_to(bar: Bar) -> Generator[None, None, None]:
    """Show what the library logs and warns of as lines above the bar, the same words once only."""
    said: set[str] = set()

    def note(text: str) -> None:
        if text not in said:
            said.add(text)
            bar.note(text)

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            note(record.getMessage())

    def show(message: Warning | str, *_args: object, **_keywords: object) -> None:
        note(str(message))

    logger, handler = logging.getLogger("cvsr"), Notes(logging.INFO)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = show
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
