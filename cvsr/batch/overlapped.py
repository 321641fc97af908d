"""Two files at a time: one is read or written while the network computes the other.

Reading and writing take one thread each, as long as the network takes with all of them where results are PNG.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from cvsr.batch.jobs import Job
from cvsr.errors import Cancelled

if TYPE_CHECKING:
    from cvsr.batch.converter import Converter
    from cvsr.batch.outcome import Outcome

AT_A_TIME = 2
LARGEST = 1 << 24  # bytes of a file: two larger ones might not fit into the memory


def run(converter: Converter, jobs: list[Job], outcome: Outcome) -> None:
    """Do the jobs in their order; raise what would go the same way with the next file. Several jobs, and no budget."""
    stop, shares = threading.Event(), _Shares(outcome, len(jobs))
    running: deque[Future[None]] = deque()

    def one(job: Job, number: int) -> None:
        with shares.of(job, number) as update, suppress(Cancelled):
            outcome.attempt(converter, job, update, stop.is_set)

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
        finally:  # on the way out by a signal too: what is half done goes, what is not begun is left
            stop.set()
            for each in running:
                each.cancel()


def _is_large(job: Job) -> bool:
    try:
        return job.source.stat().st_size > LARGEST
    except OSError:
        return False  # reading it says why


class _Shares:
    """How far all jobs are together, for the bar: the finished ones, and parts of those at work."""

    def __init__(self, outcome: Outcome, total: int) -> None:
        self._outcome, self._total = outcome, total
        self._parts: dict[int, float] = {}
        self._finished = 0
        self._lock = threading.Lock()
        outcome.bar.start("")

    @contextmanager
    def of(self, job: Job, number: int) -> Generator[Callable[[int, int], None]]:
        """Yield what a job tells its progress to: ``update(done, total)``."""
        self._outcome.bar.rename(f"{number}/{self._total} {job.source.name}")

        def update(done: int, total: int) -> None:
            with self._lock:
                self._parts[number] = done / max(total, 1)
                self._show()

        try:
            yield update
        finally:
            with self._lock:
                self._parts.pop(number, None)
                self._finished += 1
                self._show()

    def _show(self) -> None:
        self._outcome.bar.update(round(1000 * (self._finished + sum(self._parts.values()))), 1000 * self._total)
