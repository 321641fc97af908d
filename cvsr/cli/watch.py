"""``cvsr watch``: upscale the images that are in a folder and those that come into it, until a signal ends it."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from functools import partial
from pathlib import Path

from cvsr.batch import inbox, jobs
from cvsr.batch.converter import Converter
from cvsr.batch.inbox import File, Inbox
from cvsr.batch.jobs import Job, Source
from cvsr.cli import inputs, options
from cvsr.cli.bar import Bar
from cvsr.cli.signals import notes_to, stopped_by_signals
from cvsr.errors import DeviceError, FileError, ModelError, OpenCVError, OptionError
from cvsr.io import atomic, formats

_TICK = 0.1  # seconds between two glances at whether a signal or an event has come
_REST = 5  # times as long as looking through the folder took: large folders are looked through less often
_POLL, _POLL_WITH_EVENTS = 2.0, 30.0

_EPILOG = """A file is taken when it has not changed for the settling time and can be decoded, and taken again when it
changes. What cannot be decoded is reported once. SIGINT and SIGTERM end it after the file in work. With the extra
watch (pip install "cvsr[watch]") changes are noticed at once; without it, and on network folders, the folder is looked
through every few seconds (--poll)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``cvsr watch``."""
    parser.epilog = _EPILOG
    add = parser.add_argument
    add("folder", metavar="FOLDER", help="where images come in")
    add("-o", "--output", required=True, metavar="OUT", help="the folder for the results; it may lie in FOLDER")
    add("-r", "--recursive", action="store_true", help="look into the folders below FOLDER too")
    add("--once", action="store_true", help="end when all that is there is done")
    add("--settle", type=_seconds, default=2.0, metavar="SECONDS", help="how long a file must not change; default 2")
    add("--poll", type=_seconds, metavar="SECONDS", help="how often to look; default 2, or 30 with the extra watch")
    options.add_conversion(parser)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return value


def main(args: argparse.Namespace) -> int:
    """Run ``cvsr watch`` and return the exit code; raise what is wrong with the arguments or the machine."""
    root, out = Path(args.folder), Path(args.output)
    _check(root, out, args.recursive)
    bar = Bar(sys.stderr)
    with notes_to(bar), stopped_by_signals(1) as ended, inbox.events(root, args.recursive, out) as woken:
        service = Service(args, bar, ended)
        poll: float = args.poll if args.poll is not None else _POLL_WITH_EVENTS if woken else _POLL
        bar.say(f"cvsr: watching {root}, results go to {out}" + ("" if woken else f" (looking every {poll:g} s)"))
        try:
            while not ended:
                began = time.monotonic()
                service.look()
                due = service.inbox.next_due()
                if args.once and due is None:
                    break
                now = time.monotonic()
                until = min(now + poll, due or now + poll)
                _rest(now + max(_TICK, _REST * min(now - began, poll)), until, woken, ended)
        finally:
            bar.clear()
            bar.say(f"cvsr: {service.written} written, {service.failed} failed")
    return 1 if args.once and service.failed else 0


def _check(root: Path, out: Path, recursive: bool) -> None:
    """Raise FileError or OptionError where the folders cannot be these."""
    if not root.is_dir():
        raise FileError(f"{root} is no folder: name the one that images come into")
    if out.is_file():
        raise OptionError(f"-o {out} is a file: name a folder for the results")
    into, home = Path(os.path.realpath(out)), Path(os.path.realpath(root))
    if into == home or (recursive and into in home.parents):
        raise OptionError(f"results in {out} would be taken for new images: name another folder, or one in {root}")


def _rest(earliest: float, until: float, woken: threading.Event | None, ended: list[int]) -> None:
    """Wait ``until`` then, or until something changes, but that not before ``earliest``."""
    while not ended and (now := time.monotonic()) < max(earliest, until):
        if woken is not None and woken.is_set() and now >= earliest:
            break
        time.sleep(_TICK)
    if woken is not None:
        woken.clear()


class Service:
    """Does what is ready in a folder, file by file, and counts."""

    def __init__(self, args: argparse.Namespace, bar: Bar, ended: list[int]) -> None:
        self.inbox = Inbox(args.settle, None if args.once else inbox.AGAIN)
        self.written = self.failed = 0
        forced = formats.format_named(args.format) if args.format else None
        self._converter = Converter(args, bar, forced)
        self._args, self._bar, self._ended = args, bar, ended
        self._root, self._out = Path(args.folder), Path(args.output)
        self._plan = partial(jobs.plan, **inputs.naming(args), output=self._out, overwrite=True)
        self._makers: dict[Path, Path] = {}
        self._first = True
        self._gone = False

    def look(self) -> None:
        """Look through the folder and do what is ready; end early where a signal came."""
        if self._root.is_dir() is self._gone:
            self._gone = not self._gone
            self._bar.say(f"cvsr: {self._root} is {'gone: waiting for it' if self._gone else 'there again'}")
        if self._gone:
            return
        found = jobs.find([str(self._root)], recursive=self._args.recursive, leave_out=self._out)
        ready = self.inbox.look(found, time.monotonic())
        if self._first:
            self._first = False
            for parent in {self._job(file.source).target.parent for file in self.inbox.files.values()}:
                atomic.remove_leftovers(parent)
            self._pass_over_done()
        for file in ready:
            if self._ended:
                return
            if not file.changed():
                self._do(file)

    def _pass_over_done(self) -> None:
        """Leave alone what an earlier run did: results that are newer than their inputs."""
        for file in self.inbox.files.values():
            job = self._job(file.source)
            result = inbox.stamp(job.target)
            if result is not None and result[1] >= file.stamp[1]:
                file.due = None
                self._makers.setdefault(job.target, job.source)

    def _job(self, source: Source) -> Job:
        [job] = self._plan([source])
        return job

    def _do(self, file: File) -> None:
        """Upscale one file, and note or report what became of it."""
        job = self._job(file.source)
        self._bar.start(job.source.name)
        try:
            self._refuse(job)
            self._converter.convert(job, partial(_check_unchanged, file))
        except (DeviceError, ModelError, OpenCVError, OptionError):
            raise  # it would go the same way with the next file
        except Exception as error:
            self._failed(file, job, error)
            return
        file.due = None
        self._makers[job.target] = job.source
        self.written += 1
        self._bar.say(f"cvsr: {job.source} -> {job.target}")

    def _refuse(self, job: Job) -> None:
        """Raise FileError where the result would take the place of another file's."""
        maker = self._makers.get(job.target, job.source)
        if maker != job.source and maker in self.inbox.files:
            raise FileError(f"its result would have the same name as that of {maker} ({job.target})")
        if job.refusal:
            raise FileError(job.refusal)

    def _failed(self, file: File, job: Job, error: Exception) -> None:
        if file.changed():  # also where it is gone: the next look takes in what is there then
            return
        text, now = str(error) or type(error).__name__, time.monotonic()
        hindered = isinstance(error.__cause__, OSError)
        news = self.inbox.hindered(file, text, now) if hindered else self.inbox.broken(file, now)
        if news:
            self.failed += 1
            named = text.startswith((str(job.source), str(job.target)))
            self._bar.say(f"cvsr: failed: {text if named else f'{job.source}: {text}'}")


def _check_unchanged(file: File) -> None:
    if file.changed():
        raise FileError(f"{file.source.path} changed while it was read")
