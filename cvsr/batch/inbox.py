"""A watched folder: which files are complete, which have changed, and when to look again.

Nothing here reads an image. A file is ready when its size and time have been the same for a while; decoding finds out
whether it is complete, because no format accepts a part of a file as the whole.
"""

import importlib
import os
import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cvsr.batch.jobs import Input

Stamp = tuple[int, int, int]
"""Size, time of the last change in nanoseconds, and inode of a file: a different one after a change."""

PATIENCE = 4  # times the settling time to wait before the second try to decode a file: its writer may be slow
AGAIN = 60.0  # seconds before another try after an error that is not the input's, such as a full disk


def stamp(path: Path) -> Stamp | None:
    """Return a file's stamp, None if the file does not exist (any more)."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns, facts.st_ino


@dataclass
class File:
    """One file of the folder. ``due``: when to try it, None if there is nothing to do until it changes."""

    source: Input
    stamp: Stamp
    due: float | None
    late: bool = False
    said: str = ""

    def changed(self) -> bool:
        """Tell whether the file has changed since it was ready."""
        return stamp(self.source.path) != self.stamp


class Inbox:
    """The files of a folder from one scan to the next; times are seconds of a monotonic clock."""

    def __init__(self, settle: float, again: float | None = AGAIN) -> None:
        """``again``: seconds before another try of a file whose result could not be written; None for never."""
        self.settle, self.again = settle, again
        self.files: dict[Path, File] = {}

    def look(self, found: Iterable[Input], now: float) -> list[File]:
        """Take in what is in the folder now and return the files that are ready."""
        here: dict[Path, File] = {}
        for source in found:
            current = stamp(source.path)
            if current is None:
                continue
            file = self.files.get(source.path)
            if file is None or file.stamp != current:
                file = File(source, current, now + self.settle)
            here[source.path] = file
        self.files = here
        return [file for file in here.values() if file.due is not None and file.due <= now]

    def broken(self, file: File, now: float) -> bool:
        """Postpone a file that cannot be upscaled, and tell whether to report it: not the first time, but the second.

        From then on it waits for a change.
        """
        file.due = None if file.late else now + PATIENCE * self.settle
        file.late = not file.late
        return not file.late

    def hindered(self, file: File, text: str, now: float) -> bool:
        """Postpone a file whose result could not be written; tell whether the reason is new."""
        news, file.said = text != file.said, text
        file.due = None if self.again is None else now + self.again
        return news

    def next_due(self) -> float | None:
        """Return when to try the next file, None if none is waiting."""
        return min((file.due for file in self.files.values() if file.due is not None), default=None)


@contextmanager
def events(root: Path, recursive: bool, out: Path) -> Generator[threading.Event | None, None, None]:
    """Yield an event that is set when something changes in ``root``, or None if the system cannot tell.

    That needs watchdog. Changes below ``out`` are ignored. Network folders report changes by this machine only.
    """
    try:
        observers: Any = importlib.import_module("watchdog.observers")
        handlers: Any = importlib.import_module("watchdog.events")
    except ImportError:
        yield None
        return
    woken, results = threading.Event(), os.path.realpath(out) + os.sep

    def dispatch(event: Any) -> None:
        # opening a folder to scan it is an event too
        changed = event.event_type in ("created", "modified", "moved", "closed")
        if changed and not os.fsdecode(event.src_path).startswith(results):
            woken.set()

    handler = handlers.FileSystemEventHandler()
    handler.dispatch = dispatch
    observer = observers.Observer()
    try:
        observer.schedule(handler, os.path.realpath(root), recursive=recursive)
        observer.start()
    except OSError:  # more folders than the system watches
        yield None
        return
    try:
        yield woken
    finally:
        observer.stop()
        observer.join()
