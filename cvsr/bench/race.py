"""The race: contestants take turns in rounds; results are medians, and medians of the ratios within rounds."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from cvsr.errors import CvsrError, OptionError

_REST = 0.05  # seconds after a turn, until threads that spin while waiting for work have stopped


@dataclass(frozen=True)
class Spec:
    """What a contestant runs: a model in a runtime (``kind``) on an image of ``size``, (width, height)."""

    kind: str
    model: str
    scale: int
    size: tuple[int, int]
    what: str
    """``"picture"``, 8-bit color, or ``"gray"``."""
    threads: int
    exact: bool = False
    warmup: int = 2


@dataclass
class Contestant:
    """A contestant: its ``label`` in the table, and the ``spec`` for its process, run by ``python``."""

    label: str
    spec: Spec
    macs: int | None = None
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
        """Return half the interquartile range, as a fraction of the median."""
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
        spec = json.dumps(asdict(replace(contestant.spec, warmup=warmup)))
        command = [contestant.python, "-m", "cvsr.bench.child", spec]
        paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
        variables = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        try:
            self.process = subprocess.Popen(command, env=variables, text=True, **pipes)
        except OSError as error:
            raise OptionError(f"cannot run {contestant.python}: {error.strerror or error}") from error

    def answer(self) -> dict[str, Any]:
        """Return the next answer; raise CvsrError with the last line of stderr if the process ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        _, said = self.process.communicate()
        last = said.strip().splitlines()[-1] if said.strip() else f"exit code {self.process.returncode}"
        raise CvsrError(f"its process ended: {last}")

    def turn(self) -> dict[str, Any]:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write("{}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # answer() reports why
        return self.answer()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def run(contestants: list[Contestant], rounds: int, warmup: int = 2) -> list[Contestant]:
    """Run the race; return the contestants that started, with their times, and set ``problem`` of the others."""
    running: list[tuple[Contestant, _Process]] = []
    try:
        for contestant in contestants:
            process = _Process(contestant, warmup)
            running.append((contestant, process))
            try:  # one at a time: loading and warming up slow the others
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
    """Return the peak memory, in bytes, of a fresh process that enlarges an image of ``size`` twice."""
    alone = Contestant(contestant.label, replace(contestant.spec, size=size), python=contestant.python)
    return alone.peak if run([alone], 1, warmup=1) else 0
