"""What a worker of a dask cluster does for ``cvsr upscale --scheduler``: enlarge one file of a run, and report it."""

import contextlib
import functools
import logging
import os
import platform
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cvsr import __version__
from cvsr.batch.enlarge import Enlarger
from cvsr.batch.jobs import Job
from cvsr.errors import CvsrError, FileError
from cvsr.io import atomic
from cvsr.options import Options

_LOCK = threading.Lock()
_ALONE = threading.Lock()

log = logging.getLogger("cvsr")


@dataclass(frozen=True)
class ClusterRun:
    """What all files of a run have in common. ``marker`` is a file by which workers recognize the folder for results.

    It is None if results go beside their inputs: a worker that sees the one sees the other.
    """

    options: Options
    name: str
    marker: Path | None
    overwrite: bool


@dataclass(frozen=True)
class Finished:
    """What a worker reports of a file: the error, if there was one, and what the library logged."""

    worker: str
    error: CvsrError | None = None
    notes: tuple[tuple[int, str], ...] = ()


def about() -> tuple[str, bool]:
    """Return a worker's version of cvsr, and whether its malloc requests each large array from the system anew.

    glibc does so if the one threshold is set, as by dask's nannies, and the other is not.
    """
    set_by_dask = sys.platform == "linux" and "MALLOC_TRIM_THRESHOLD_" in os.environ
    return __version__, set_by_dask and "MALLOC_MMAP_THRESHOLD_" not in os.environ


def enlarge(run: ClusterRun, job: Job) -> Finished:
    """Do one job on a worker and report it. Errors that another try may avoid, here or elsewhere, are raised."""
    worker = f"{platform.node()}:{os.getpid()}"
    notes = _Notes()
    log.addHandler(notes)
    try:
        _check_shared(run, job)
        if not run.overwrite and os.path.lexists(job.target):  # by a worker that died before its report
            return Finished(worker)
        with _LOCK:  # or several threads would make one each
            enlarger = _enlarger(run.options)
        # the memory limit is for the whole process: nothing else may run in it
        with _ALONE if run.options.max_memory else contextlib.nullcontext():
            enlarger.enlarge(job)
        return Finished(worker, notes=tuple(notes.found))
    except CvsrError as error:
        if isinstance(error, FileError) and isinstance(error.__cause__, OSError):
            raise
        return Finished(worker, error, tuple(notes.found))
    finally:
        log.removeHandler(notes)


def _check_shared(run: ClusterRun, job: Job) -> None:
    """Raise FileError if this worker does not see the folders of the machine that started the run."""
    if job.source.parent.exists() and (run.marker is None or run.marker.exists()):
        return  # reading finds out whether the file itself still exists
    unseen = job.source.parent if run.marker is None or run.marker.exists() else run.marker.parent
    raise FileError(
        f"{job.source}: the worker {platform.node()} does not see {unseen}, or sees another folder of that name: "
        "inputs and results must be in folders that all machines share under the same paths"
    )


@functools.lru_cache(maxsize=4)
def _enlarger(options: Options) -> Enlarger:
    """Return this process's one enlarger for these options: its network is built once."""
    log.setLevel(logging.INFO)  # notes travel to the machine that started the run
    return Enlarger(options)


def clean(folders: Sequence[Path]) -> None:
    """Remove what killed workers of this machine left in the folders."""
    for folder in folders:
        atomic.remove_leftovers(folder)


class _Notes(logging.Handler):
    """Keeps what the library logs in this thread."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.found: list[tuple[int, str]] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.found.append((record.levelno, record.getMessage()))
