"""What became of the files of a run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from cvsr.batch.converter import Converter
from cvsr.batch.jobs import PIPE, Job
from cvsr.cli.bar import Bar
from cvsr.errors import Cancelled, DeviceError, FileError, ModelError, OpenCVError


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
