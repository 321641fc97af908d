"""The verb ``cvsr watch``: enlarge the images that are in a folder and those that arrive in it."""

import argparse
import os
import sys
import threading
import time
from functools import partial
from pathlib import Path

from cvsr.batch import inbox, jobs
from cvsr.batch.enlarge import Enlarger
from cvsr.batch.inbox import File, Inbox
from cvsr.batch.jobs import Input, Job
from cvsr.batch.outcome import about
from cvsr.cli import arguments
from cvsr.cli.bar import Bar
from cvsr.cli.signals import notes_to, stopped_by_signals
from cvsr.errors import DeviceError, FileError, ModelError, OpenCVError, OptionError, install_hint
from cvsr.io import atomic

_TICK = 0.1  # seconds between two checks for signals and events
_REST = 5  # times as long as scanning the folder took: large folders are scanned less often
_POLL, _POLL_WITH_EVENTS = 2.0, 30.0

DESCRIPTION = "Enlarge the images that are in a folder and those that arrive in it, until a signal ends it."
EPILOG = f"""A file is enlarged once it has not changed for the settling time and can be
decoded, and again if it changes. A file that cannot be decoded is reported once.
SIGINT and SIGTERM end the run after the current file. With watchdog
({install_hint("watch")}) changes are noticed at
once; without it, and on network folders, the folder is scanned every few
seconds (--poll)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``cvsr watch``."""
    add = parser.add_argument
    add("folder", metavar="FOLDER", help="the folder that images arrive in")
    add("-o", "--output", required=True, metavar="OUT", help="the folder for the results; it may be in FOLDER")
    add("-r", "--recursive", action="store_true", help="watch the folders below FOLDER too")
    add("--once", action="store_true", help="end when all files that are there are done")
    add("--settle", type=_seconds, default=2.0, metavar="SECONDS", help="settling time of a file; default 2")
    add("--poll", type=_seconds, metavar="SECONDS", help="time between scans; default 2, or 30 with watchdog")
    arguments.add_conversion(parser)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"invalid number of seconds: {text!r}")
    return value


def main(args: argparse.Namespace) -> int:
    """Run ``cvsr watch`` and return the exit code; raise what is wrong with the arguments or the machine."""
    root, out = Path(args.folder), Path(args.output)
    _check(root, out, args.recursive)
    bar = Bar(sys.stderr)
    with notes_to(bar), stopped_by_signals(1) as ended, inbox.events(root, args.recursive, out) as woken:
        service = Service(args, bar, ended)
        poll: float = args.poll if args.poll is not None else _POLL_WITH_EVENTS if woken else _POLL
        bar.say(f"cvsr: watching {root}, results go to {out}" + ("" if woken else f" (scanned every {poll:g} s)"))
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
            bar.done()
            bar.say(f"cvsr: {service.written} written, {service.failed} failed")
    return 1 if args.once and service.failed else 0


def _check(root: Path, out: Path, recursive: bool) -> None:
    """Raise FileError or OptionError if the folders do not work together."""
    if not root.is_dir():
        raise FileError(f"{root} is not a folder: name the one that images arrive in")
    if out.is_file():
        raise OptionError(f"-o {out} is a file: name a folder for the results")
    into, home = Path(os.path.realpath(out)), Path(os.path.realpath(root))
    if into == home or (recursive and into in home.parents):
        raise OptionError(f"results in {out} would look like new images: name another folder, or one in {root}")


def _rest(earliest: float, until: float, woken: threading.Event | None, ended: list[int]) -> None:
    """Wait until the time ``until``, or until something changes, but at least until ``earliest``."""
    while not ended and (now := time.monotonic()) < max(earliest, until):
        if woken is not None and woken.is_set() and now >= earliest:
            break
        time.sleep(_TICK)
    if woken is not None:
        woken.clear()


class Service:
    """Enlarges the files of a folder that are ready, one by one, and counts them."""

    def __init__(self, args: argparse.Namespace, bar: Bar, ended: list[int]) -> None:
        self.inbox = Inbox(args.settle, None if args.once else inbox.AGAIN)
        self.written = self.failed = 0
        options = arguments.options_of(args)
        self._enlarger = Enlarger(options)
        self._args, self._bar, self._ended = args, bar, ended
        self._root, self._out = Path(args.folder), Path(args.output)
        self._plan = partial(jobs.plan, options=options, output=self._out, overwrite=True)
        self._makers: dict[Path, Path] = {}
        self._first = True
        self._gone = False

    def look(self) -> None:
        """Scan the folder and do what is ready; end early after a signal."""
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
        """Skip what an earlier run did: files whose results are newer."""
        for file in self.inbox.files.values():
            job = self._job(file.source)
            result = inbox.stamp(job.target)
            if result is not None and result[1] >= file.stamp[1]:
                file.due = None
                self._makers.setdefault(job.target, job.source)

    def _job(self, source: Input) -> Job:
        [job] = self._plan([source])
        return job

    def _do(self, file: File) -> None:
        """Upscale one file, and note or report what became of it."""
        job = self._job(file.source)
        self._bar.start(job.source.name)
        try:
            self._refuse(job)
            self._enlarger.enlarge(job, check=partial(_check_unchanged, file), progress=self._bar.progress)
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
        """Raise FileError if the result would replace that of another file."""
        maker = self._makers.get(job.target, job.source)
        if maker != job.source and maker in self.inbox.files:
            raise FileError(f"its result would have the same name as the result of {maker} ({job.target})")
        if job.refusal:
            raise FileError(job.refusal)

    def _failed(self, file: File, job: Job, error: Exception) -> None:
        if file.changed():  # or gone: the next scan finds what is there then
            return
        text, now = about(job, error), time.monotonic()
        hindered = isinstance(error.__cause__, OSError)
        news = self.inbox.hindered(file, text, now) if hindered else self.inbox.broken(file, now)
        if news:
            self.failed += 1
            self._bar.say(f"cvsr: failed: {text}")


def _check_unchanged(file: File) -> None:
    if file.changed():
        raise FileError(f"{file.source.path} has changed meanwhile")
