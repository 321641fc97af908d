"""A progress bar on terminals, lines of text elsewhere: the listener of the command line."""

from __future__ import annotations

import os
import shutil
import threading
import time
import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from cvsr.inference.stages import Progress

_INTERVAL = 0.1  # seconds between two drawings: terminals are slow, tiles are not
_BAR = 24


class Bar:
    """Draw a line such as ``3/10 photo.jpg [#######-----------]  38 % 0:12 left`` and keep it up to date.

    Nothing is drawn if ``stream`` is not a terminal; ``say`` prints a line of text above the bar in any case. It is a
    :class:`cvsr.batch.listener.Listener`.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._shows = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._label = self._unit = ""
        self._before: float = 0
        self._started = self._drawn = 0.0
        self._line = ""
        self._own = threading.local()
        self._lock = threading.RLock()  # several files may be at work

    def start(self, label: str, unit: str = "", done: float = 0) -> None:
        """Begin anew, for the next file. With a ``unit`` such as "frames", show how many of them are done per second.

        ``done`` steps were done by an earlier run, and do not count for the speed of this one.
        """
        self.rename(label)
        self._unit, self._before = unit, done
        self._started, self._drawn = self._clock(), 0.0
        self._update(0, 1)

    def rename(self, label: str) -> None:
        """Continue with another label, which the notes of this thread have, whatever other threads work on."""
        self._label = self._own.label = label

    def progress(self, step: Progress) -> None:
        """Show how much is done, unless that was shown a moment ago."""
        self._update(step.done, step.total)

    def _update(self, done: float, total: int) -> None:
        now = self._clock()
        if not self._shows or (self._line and now - self._drawn < _INTERVAL and done < total):
            return
        self._drawn = now
        share = min(done / max(total, 1), 1)  # the total may be a guess
        filled = round(share * _BAR)
        elapsed, new = now - self._started, done - self._before
        speed = f" {new / elapsed:.1f} {self._unit}/s" if self._unit and new and elapsed >= 1 else ""
        left = _left(elapsed, new / max(total - self._before, 1))
        tail = f" [{'#' * filled}{'-' * (_BAR - filled)}] {share:4.0%}{speed}{left}"
        room = shutil.get_terminal_size().columns - 1
        label = _shortened(self._label, max(room - len(tail), 8))
        self._put(_shortened(label + tail, room))

    def say(self, text: str) -> None:
        """Print a line of text, above the bar if there is one."""
        with self._lock:
            self.done()
            print(text, file=self._stream, flush=True)

    def note(self, text: str) -> None:
        """Print a note on the current file."""
        label = getattr(self._own, "label", self._label)
        self.say(f"cvsr: {label}: {text}" if label else f"cvsr: {text}")

    def done(self) -> None:
        """Remove the bar."""
        with self._lock:
            if self._line:
                self._stream.write("\r\x1b[K")
                self._stream.flush()
                self._line = ""

    def _put(self, line: str) -> None:
        with self._lock:
            if line != self._line:
                self._stream.write("\r" + line + "\x1b[K")
                self._stream.flush()
                self._line = line


def _left(elapsed: float, share: float) -> str:
    if share <= 0 or elapsed < 1:
        return ""
    seconds = round(elapsed / share - elapsed)
    return f" {seconds // 60}:{seconds % 60:02d} left"


def width(text: str) -> int:
    """Return how many columns of a terminal ``text`` takes: East Asian characters take two, combining ones none."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def _shortened(text: str, room: int) -> str:
    """Return ``text`` without control characters, its middle cut out if it takes more than ``room`` columns."""
    text = "".join(c if c.isprintable() else "?" for c in text)
    if width(text) <= room:
        return text
    for keep in range(len(text) - 1, 1, -1):
        cut = text[: keep - keep // 2] + "…" + text[len(text) - keep // 2 :]
        if width(cut) <= room:
            return cut
    return "…"
