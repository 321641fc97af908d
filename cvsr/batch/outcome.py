"""What became of the files of a run."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from cvsr.batch.enlarge import Enlarger
from cvsr.batch.jobs import PIPE, Job
from cvsr.batch.listener import Listener
from cvsr.errors import Cancelled, DeviceError, FileError, ModelError, OpenCVError
from cvsr.inference.stages import Report


@dataclass
class Outcome:
    """What became of the files of a run so far, and who follows it."""

    listener: Listener
    total: int
    written: int = 0
    skipped: list[str] = field(default_factory=list[str])
    failed: list[str] = field(default_factory=list[str])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def finished(self) -> int:
        """Return how many files need no more work."""
        return self.written + len(self.skipped) + len(self.failed)

    def attempt(self, enlarger: Enlarger, job: Job, progress: Report, cancel: Callable[[], bool] | None = None) -> None:
        """Do one job; whatever is wrong with its files is noted and does not stop the others."""
        if job.skip:
            self.skipped.append(job.skip)
            return
        name = "stdin" if job.source == PIPE else str(job.source)
        try:
            if job.refusal:
                raise FileError(f"{name}: {job.refusal}")
            enlarger.enlarge(job, progress=progress, cancel=cancel)
            with self._lock:  # others may be at work beside this one
                self.written += 1
        except (Cancelled, DeviceError, ModelError, OpenCVError, BrokenPipeError):
            raise  # it would go the same way with the next file
        except Exception as error:
            self.failed.append(about(job, error))


def about(job: Job, error: BaseException) -> str:
    """Return what went wrong with a job, beginning with a file's name."""
    name, text = "stdin" if job.source == PIPE else str(job.source), str(error) or type(error).__name__
    return text if text.startswith((name, str(job.target))) else f"{name}: {text}"
