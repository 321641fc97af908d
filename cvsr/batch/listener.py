"""What a run of several files reports while it works, to whatever shows it: a terminal, a log, nothing."""

from typing import Protocol

from cvsr.inference.stages import Progress


class Listener(Protocol):
    """Follows a run. Its methods are called from the threads that do the work."""

    def start(self, label: str) -> None:
        """A file, or a run of several files at a time, begins."""

    def rename(self, label: str) -> None:
        """This thread continues with another file of the run, which its notes are about."""

    def progress(self, step: Progress) -> None:
        """Some of the work that was started is done."""

    def note(self, text: str) -> None:
        """Something about the current file is worth knowing, and no error."""

    def done(self) -> None:
        """The run has ended."""
