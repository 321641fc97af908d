"""Signals and warnings while a command runs."""

import logging
import signal
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from cvsr.cli.bar import Bar


@contextmanager
def stopped_by_signals(patience: int = 0) -> Generator[list[int], None, None]:
    """Turn the signals that end a process into KeyboardInterrupt, so that temporary files go; yield those that came.

    The first ``patience`` of them are only added to the list.
    """
    caught: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        if len(caught) > patience:
            raise KeyboardInterrupt

    before: dict[int, Any] = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is None or signal.getsignal(number) is signal.SIG_IGN:  # as under nohup
            continue
        try:
            before[number] = signal.signal(number, stop)
        except ValueError:  # not in the main thread
            break
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def notes_to(bar: Bar) -> Generator[None, None, None]:
    """Show what the library logs and warns of as lines above the bar, each text once."""
    said: set[str] = set()

    def note(text: str) -> None:
        if text not in said:
            said.add(text)
            bar.note(text)

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            note(record.getMessage())

    def show(message: Warning | str, *_args: object, **_keywords: object) -> None:
        note(str(message))

    logger, handler = logging.getLogger("cvsr"), Notes(logging.INFO)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = show
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
