"""Bounded queues between threads: reading ahead of the network, writing after it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")

DEPTH = 3  # frames on each side: enough to even out fast and slow ones
_PATIENCE = 1.0  # seconds to wait for a source that may itself wait forever, such as a pipe
_POLL = 0.1  # seconds between checks whether the other side has stopped


class _End:
    """Marks the end of the items, with the error that ended them."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def ahead(items: Iterable[T], depth: int = DEPTH) -> Generator[T, None, None]:
    """Yield ``items``, up to ``depth`` of which are made ahead in a thread; their errors are raised here."""
    waiting: queue.Queue[T | _End] = queue.Queue(depth)
    stop = threading.Event()

    def put(item: T | _End) -> None:
        while not stop.is_set():
            with suppress(queue.Full):
                waiting.put(item, timeout=_POLL)
                break

    def work() -> None:
        error = None
        try:
            for item in items:
                put(item)
                if stop.is_set():
                    return
        except BaseException as raised:  # raised where the items are consumed
            error = raised
        put(_End(error))

    worker = threading.Thread(target=work, name="cvsr-ahead", daemon=True)
    worker.start()
    try:
        while not isinstance(item := waiting.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stop.set()
        worker.join(_PATIENCE)


class Sink(Generic[T]):
    """Feed ``consume``, which takes an iterator of items and runs in a thread, through a queue of ``depth`` items.

    Leaving the ``with`` block, also by an error, ends the iterator and waits for ``consume`` to finish. What
    ``consume`` raises is raised by ``put`` or at the end.
    """

    def __init__(self, consume: Callable[[Iterator[T]], object], depth: int = DEPTH) -> None:
        self._waiting: queue.Queue[T | _End] = queue.Queue(depth)
        self._consume = consume
        self._error: BaseException | None = None
        self._done = threading.Event()
        self._worker = threading.Thread(target=self._work, name="cvsr-behind", daemon=True)

    def put(self, item: T) -> None:
        """Add an item, once there is room for it."""
        self._put(item)
        if self._error is not None:
            raise self._error

    def _put(self, item: T | _End) -> None:
        while not self._done.is_set():
            with suppress(queue.Full):
                self._waiting.put(item, timeout=_POLL)
                break

    def _work(self) -> None:
        try:
            self._consume(self._items())
        except BaseException as error:  # raised where the items come from
            self._error = error
        finally:
            self._done.set()

    def _items(self) -> Iterator[T]:
        while not isinstance(item := self._waiting.get(), _End):
            yield item

    def __enter__(self) -> Sink[T]:
        self._worker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._put(_End())
        self._worker.join()
        if self._error is not None and error is None:
            raise self._error
