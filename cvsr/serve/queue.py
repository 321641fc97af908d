"""The queue of requests in front of the one worker: slots, order, and clients that disconnect."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from cvsr.errors import Cancelled
from cvsr.options import Options
from cvsr.serve.limits import Limits, Refusal
from cvsr.serve.worker import Encoded, Worker


class Slot:
    """A request's slot in the queue, from its head to the end of its response. It is free after the last release."""

    def __init__(self, queue: RequestQueue) -> None:
        self._queue, self._holders = queue, 1
        queue.taken += 1

    def hold(self) -> None:
        """Add a holder."""
        self._holders += 1

    def release(self) -> None:
        """Remove a holder."""
        self._holders -= 1
        if self._holders == 0:
            self._queue.taken -= 1


class RequestQueue:
    """Accepts requests while there are free slots, and gives their uploads to the worker, one at a time, in order."""

    def __init__(self, limits: Limits, worker: Worker) -> None:
        self.limits, self._worker = limits, worker
        self.taken = 0
        self._seconds = 1.0  # moving average of the time for a picture
        self._closing = False
        self._pool = ThreadPoolExecutor(1, "cvsr-serve")

    def enter(self) -> Slot:
        """Return a slot. Raise Refusal (503), with the time after which to try again, if there is none."""
        if self._closing or self.taken >= self.limits.places:
            again = max(1, math.ceil(self._seconds * self.taken))
            raise Refusal(
                503,
                f"the queue is full ({self.limits.places} requests); try again in {again} seconds",
                {"Retry-After": str(again)},
            )
        return Slot(self)

    async def work(self, slot: Slot, data: bytearray, options: Options, gone: Awaitable[Any]) -> Encoded | None:
        """Return the result of an upload; None if ``gone``, the client's disconnect, came first: the work is cancelled.

        The slot is held until the work has really ended. Raise Refusal.
        """
        left = threading.Event()
        slot.hold()
        job = asyncio.get_running_loop().run_in_executor(self._pool, self._run, data, options, left)
        job.add_done_callback(lambda done: self._ended(done, slot, left))
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

    def _run(self, data: bytearray, options: Options, left: threading.Event) -> Encoded:
        if self._stopped(left)():
            raise Cancelled("the client has disconnected")
        return self._worker(data, options, self._stopped(left))

    def _stopped(self, left: threading.Event) -> Callable[[], bool]:
        return lambda: left.is_set() or self._closing

    def _ended(self, job: asyncio.Future[Encoded], slot: Slot, left: threading.Event) -> None:
        """Release the slot, and close a result that nobody waits for."""
        with suppress(asyncio.CancelledError):
            if job.exception() is None:
                self._seconds += 0.3 * (job.result().seconds - self._seconds)
                if left.is_set():
                    job.result().stream.close()
        slot.release()

    def close(self) -> None:
        """Cancel the work, and wait until it has ended."""
        self._closing = True
        self._pool.shutdown(wait=True, cancel_futures=True)
