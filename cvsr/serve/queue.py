"""Who may come in, whose turn it is, and who has left: the server's places and its one worker."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from cvsr.errors import Cancelled
from cvsr.serve.limits import Limits, Refusal
from cvsr.serve.worker import Order, Result, Worker


class Place:
    """A request's place, from its head to the end of its answer. It is free when all who hold it have let go."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._holders = desk, 1
        desk.taken += 1

    def hold(self) -> None:
        """Keep the place for one more."""
        self._holders += 1

    def drop(self) -> None:
        """Let go."""
        self._holders -= 1
        if self._holders == 0:
            self._desk.taken -= 1


class Desk:
    """Lets requests in while there are places, and gives their uploads to the worker, one at a time, in order."""

    def __init__(self, limits: Limits, worker: Worker) -> None:
        self.limits, self._worker = limits, worker
        self.taken = 0
        self._seconds = 1.0  # what a picture took of late
        self._closing = False
        self._pool = ThreadPoolExecutor(1, "cvsr-serve")

    def enter(self) -> Place:
        """Return a place. Raise Refusal (503), with the time after which to ask again, where there is none."""
        if self._closing or self.taken >= self.limits.places:
            again = max(1, math.ceil(self._seconds * self.taken))
            raise Refusal(
                503,
                f"all {self.limits.places} places are taken; try again in {again} seconds",
                {"Retry-After": str(again)},
            )
        return Place(self)

    async def work(self, place: Place, data: bytearray, order: Order, gone: Awaitable[Any]) -> Result | None:
        """Return the result of an upload, None where ``gone`` came first: then the work is given up.

        The place is kept until the work has really ended. Raise Refusal.
        """
        left = threading.Event()
        place.hold()
        job = asyncio.get_running_loop().run_in_executor(self._pool, self._run, data, order, left)
        job.add_done_callback(lambda done: self._ended(done, place, left))
        absence = asyncio.ensure_future(gone)
        try:
            await asyncio.wait({job, absence}, return_when=asyncio.FIRST_COMPLETED)
            if not job.done():
                left.set()
                return None
            return job.result()
        except asyncio.CancelledError:  # the server stops
            left.set()
            raise
        finally:
            absence.cancel()

    def _run(self, data: bytearray, order: Order, left: threading.Event) -> Result:
        if self._stopped(left)():
            raise Cancelled("nobody waits for it any more")
        return self._worker(data, order, self._stopped(left))

    def _stopped(self, left: threading.Event) -> Callable[[], bool]:
        return lambda: left.is_set() or self._closing

    def _ended(self, job: asyncio.Future[Result], place: Place, left: threading.Event) -> None:
        """Let go of the place, and of the result where nobody took it."""
        with suppress(asyncio.CancelledError):
            if job.exception() is None:
                self._seconds += 0.3 * (job.result().seconds - self._seconds)
                if left.is_set():
                    job.result().stream.close()
        place.drop()

    def close(self) -> None:
        """Give up what is being worked on, and wait until it has ended."""
        self._closing = True
        self._pool.shutdown(wait=True, cancel_futures=True)
