"""Other processes, watched without trusting the clock: tests must hold on a machine that is busy."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE = 600  # seconds that nothing here takes: who waits as long for a process has found one that hangs


def wait_for(condition: Callable[[], object], process: subprocess.Popen | None = None) -> None:
    """Wait until something holds; fail if the process has ended before."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert process is None or process.poll() is None, "the process has ended"
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def halt(process: subprocess.Popen, condition: Callable[[], object]) -> None:
    """Stop a process (SIGSTOP, all of its threads) at a moment when the condition holds; `resume` lets it go on.

    It gets on for milliseconds between two looks, so that no moment is missed, however long the test is kept waiting.
    """
    end = time.monotonic() + PATIENCE
    while True:
        os.kill(process.pid, signal.SIGSTOP)
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), "the process has ended"
        if condition():
            return
        assert time.monotonic() < end, "it did not happen"
        resume(process)
        time.sleep(0.005)


def resume(process: subprocess.Popen) -> None:
    os.kill(process.pid, signal.SIGCONT)


def wait_until_idle(process: subprocess.Popen) -> None:
    """Wait until all threads of a process wait for something: those that work, or could, do not sleep."""
    tasks = Path(f"/proc/{process.pid}/task")
    if not tasks.exists():  # a system that does not tell
        time.sleep(2)
        return

    def sleeps() -> bool:
        return all((task / "stat").read_text().rpartition(")")[2].split()[0] == "S" for task in tasks.iterdir())

    wait_for(sleeps, process)
