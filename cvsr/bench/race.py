"""The race: contestants take turns, round by round; what counts are medians, and medians of ratios within a round."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cvsr.errors import CvsrError, OptionError

_REST = 0.05  # seconds after a turn: threads that wait for work by spinning give up in this time


@dataclass
class Contestant:
    """What takes part: ``label`` names it in the table, ``spec`` describes it to its process, run by ``python``."""

    label: str
    spec: dict[str, Any]
    python: str = sys.executable
    version: str = ""
    seconds: list[float] = field(default_factory=list[float])
    peak: int = 0
    problem: str = ""

    @property
    def median(self) -> float:
        """Return the median time of a turn in seconds."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Return half the distance between the quartiles, as a part of the median."""
        if len(self.seconds) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return (high - low) / 2 / self.median

    def speed_of(self, other: Contestant) -> float:
        """Return how many times as fast as ``other`` this one is: the median of the rounds' ratios."""
        return statistics.median(b / a for a, b in zip(self.seconds, other.seconds, strict=True))


class _Process:
    """The process of a contestant."""

    def __init__(self, contestant: Contestant, warmup: int) -> None:
        command = [contestant.python, "-m", "cvsr.bench.child", json.dumps(contestant.spec | {"warmup": warmup})]
        paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
        variables = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        try:
            self.process = subprocess.Popen(command, env=variables, text=True, **pipes)
        except OSError as error:
            raise OptionError(f"cannot run {contestant.python}: {error.strerror or error}") from error

    def answer(self) -> dict[str, Any]:
        """Return the next line of the process; raise CvsrError with what it said where it ended instead."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        _, said = self.process.communicate()
        last = said.strip().splitlines()[-1] if said.strip() else f"exit code {self.process.returncode}"
        raise CvsrError(f"it ended: {last}")

    def turn(self) -> dict[str, Any]:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write("{}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # its answer says why
        return self.answer()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def run(contestants: list[Contestant], rounds: int, warmup: int = 2) -> list[Contestant]:
    """Let them race for so many rounds; return those that finished, and leave the ``problem`` in the others."""
    running: list[tuple[Contestant, _Process]] = []
    try:
        for contestant in contestants:
            process = _Process(contestant, warmup)
            running.append((contestant, process))
            try:  # one after the other: loading and warming up disturb
                ready = process.answer()
            except CvsrError as error:
                ready = {"error": str(error)}
            contestant.problem, contestant.version = ready.get("error", ""), ready.get("version", "")
        racing = [pair for pair in running if not pair[0].problem]
        for number in range(rounds if racing else 0):
            for contestant, process in racing[number % len(racing) :] + racing[: number % len(racing)]:
                answer = process.turn()
                contestant.seconds.append(answer["seconds"])
                contestant.peak = answer["peak"]
                time.sleep(_REST)
        return [contestant for contestant, _ in racing]
    finally:
        for _, process in running:
            process.end()


def peak_memory(contestant: Contestant, size: tuple[int, int]) -> int:
    """Return the most bytes that a fresh process takes which enlarges one image of ``size`` twice."""
    alone = Contestant(contestant.label, contestant.spec | {"size": list(size)}, contestant.python)
    return alone.peak if run([alone], 1, warmup=1) else 0
