"""What a worker of a dask cluster does for ``cvsr upscale --scheduler``: one file of a run, and a report of it."""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import logging
import os
import platform
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cvsr import __version__
from cvsr.batch.converter import Converter
from cvsr.batch.jobs import Job
from cvsr.cli.bar import Bar
from cvsr.errors import CvsrError, FileError
from cvsr.io import atomic, formats

_LOCK = threading.Lock()
_ALONE = threading.Lock()

log = logging.getLogger("cvsr")


@dataclass(frozen=True)
class Order:
    """What is the same for all files of a run: the options, a name for it, and a file that shows whether OUT is shared.

    ``marker`` is None where results go beside their inputs: a worker that sees the one sees the other.
    """

    options: tuple[tuple[str, Any], ...]
    run: str
    marker: Path | None
    overwrite: bool


@dataclass(frozen=True)
class Report:
    """What a worker says of a file: what went wrong, if anything, and what the library had to remark."""

    worker: str
    error: CvsrError | None = None
    notes: tuple[tuple[int, str], ...] = ()


def about() -> tuple[str, bool]:
    """Return a worker's version of cvsr, and whether each large array that it needs comes from the system anew.

    That glibc does where the one threshold is set, as dask's nannies do, and the other is not.
    """
    set_by_dask = sys.platform == "linux" and "MALLOC_TRIM_THRESHOLD_" in os.environ
    return __version__, set_by_dask and "MALLOC_MMAP_THRESHOLD_" not in os.environ


def convert(order: Order, job: Job) -> Report:
    """Do one job on a worker and report it. What may go otherwise elsewhere or later is raised, for another try."""
    worker = f"{platform.node()}:{os.getpid()}"
    notes = _Notes()
    log.addHandler(notes)
    try:
        _check_shared(order, job)
        if not order.overwrite and os.path.lexists(job.target):  # by a worker that died before it could report
            return Report(worker)
        with _LOCK:  # or several threads would make one each
            converter = _converter(order.options)
        # a limit on memory is the whole process's: nothing else may run in it
        with _ALONE if dict(order.options).get("max_memory") else contextlib.nullcontext():
            converter.convert(job)
        return Report(worker, notes=tuple(notes.found))
    except CvsrError as error:
        if isinstance(error, FileError) and isinstance(error.__cause__, OSError):
            raise
        return Report(worker, error, tuple(notes.found))
    finally:
        log.removeHandler(notes)


def _check_shared(order: Order, job: Job) -> None:
    """Raise FileError where this worker does not see the folders that whoever started the run sees."""
    if job.source.parent.exists() and (order.marker is None or order.marker.exists()):
        return  # whether the file is still there, reading it will tell
    unseen = job.source.parent if order.marker is None or order.marker.exists() else order.marker.parent
    raise FileError(
        f"{job.source}: {platform.node()}, which was to do it, does not see {unseen}, or another folder under that "
        "name: inputs and results must lie in folders that all machines share under the same paths"
    )


@functools.lru_cache(maxsize=4)
def _converter(options: tuple[tuple[str, Any], ...]) -> Converter:
    """Return this process's one converter for these options: its network is built once."""
    log.setLevel(logging.INFO)  # remarks travel to who started the run
    args = argparse.Namespace(**dict(options))
    return Converter(args, Bar(io.StringIO()), formats.format_named(args.format) if args.format else None)


def clean(places: Sequence[Path]) -> None:
    """Remove what workers of this machine that were killed left in the folders."""
    for place in places:
        atomic.remove_leftovers(place)


class _Notes(logging.Handler):
    """Keeps what the library remarks in this thread."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.found: list[tuple[int, str]] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.found.append((record.levelno, record.getMessage()))
