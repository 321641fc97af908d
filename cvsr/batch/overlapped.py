"""Two files at a time: one is read or written while the network computes the other.

Reading and writing use one thread each, and if results are PNG they take as long as the network with all threads.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from cvsr.batch.jobs import Job
from cvsr.errors import Cancelled
from cvsr.inference.stages import Progress, Report

if TYPE_CHECKING:
    from cvsr.batch.enlarge import Enlarger
    from cvsr.batch.outcome import Outcome

AT_A_TIME = 2
LARGEST = 1 << 24  # bytes of a file: two larger ones might not fit into the memory


def run(enlarger: Enlarger, jobs: list[Job], outcome: Outcome) -> None:
    """Do several jobs in their order, without a memory limit; raise what would fail in the same way with each file."""
    stop, shares = threading.Event(), _Shares(outcome, len(jobs))
    running: deque[Future[None]] = deque()

    def one(job: Job, number: int) -> None:
        with shares.of(job, number) as report, suppress(Cancelled):
            outcome.attempt(enlarger, job, report, stop.is_set)

    with ThreadPoolExecutor(AT_A_TIME, "cvsr-files") as pool:
        try:
            for number, job in enumerate(jobs, 1):
                alone = _is_large(job)
                while len(running) > (0 if alone else AT_A_TIME - 1):
                    running.popleft().result()
                running.append(pool.submit(one, job, number))
                if alone:
                    running.popleft().result()
            while running:
                running.popleft().result()
        finally:  # also after a signal: unfinished results are removed, the rest is not begun
            stop.set()
            for each in running:
                each.cancel()


def _is_large(job: Job) -> bool:
    try:
        return job.source.stat().st_size > LARGEST
    except OSError:
        return False  # reading it gives the reason


class _Shares:
    """The progress of all jobs: the finished ones, and shares of those at work."""

    def __init__(self, outcome: Outcome, total: int) -> None:
        self._outcome, self._total = outcome, total
        self._parts: dict[int, float] = {}
        self._finished = 0
        self._lock = threading.Lock()
        outcome.listener.start("")

    @contextmanager
    def of(self, job: Job, number: int) -> Generator[Report]:
        """Yield the ``progress`` of one job."""
        self._outcome.listener.rename(f"{number}/{self._total} {job.source.name}")

        def report(step: Progress) -> None:
            with self._lock:
                self._parts[number] = step.share
                self._show()

        try:
            yield report
        finally:
            with self._lock:
                self._parts.pop(number, None)
                self._finished += 1
                self._show()

    def _show(self) -> None:
        self._outcome.listener.progress(Progress(self._finished + sum(self._parts.values()), self._total))
