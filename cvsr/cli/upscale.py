"""What ``cvsr upscale`` does: plan the files, upscale one after the other, say at the end what became of them."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from functools import partial

from cvsr.batch import overlapped
from cvsr.batch.converter import Converter
from cvsr.batch.jobs import PIPE, Job
from cvsr.batch.outcome import Outcome
from cvsr.cli import inputs
from cvsr.cli.bar import Bar
from cvsr.cli.signals import notes_to, stopped_by_signals
from cvsr.io import atomic, formats
from cvsr.io.formats import Format


def main(args: argparse.Namespace) -> int:
    """Run ``cvsr upscale`` and return the exit code; raise what is wrong with the arguments or the machine."""
    bar = Bar(sys.stderr)
    with stopped_by_signals() as caught, notes_to(bar):
        forced = formats.format_named(args.format) if args.format else None
        jobs = inputs.plan(args, forced)
        work = _way(args, bar, forced, jobs)
        outcome = Outcome(bar, len(jobs))
        stopped = True
        try:
            for parent in {job.target.parent for job in jobs if job.target != PIPE}:
                atomic.remove_leftovers(parent)
            work(jobs, outcome)
            stopped = False
        except KeyboardInterrupt:
            return 128 + (caught[0] if caught else signal.SIGINT)
        finally:
            if stopped or outcome.failed or not any(job.target == PIPE for job in jobs):
                outcome.say(stopped)
        return 1 if outcome.failed else 0


def _way(
    args: argparse.Namespace, bar: Bar, forced: Format | None, jobs: list[Job]
) -> Callable[[list[Job], Outcome], None]:
    """Return what does the jobs: this process, one or two at a time, or the workers of a cluster."""
    if args.scheduler:
        from cvsr.batch import cluster  # it needs dask, and this module

        return partial(cluster.run, args)
    several = len(jobs) > 1 and not args.max_memory and all(PIPE not in (job.source, job.target) for job in jobs)
    return partial(overlapped.run if several else _one_by_one, Converter(args, bar, forced))


def _one_by_one(converter: Converter, jobs: list[Job], outcome: Outcome) -> None:
    for number, job in enumerate(jobs, 1):
        outcome.bar.start(job.source.name if len(jobs) == 1 else f"{number}/{len(jobs)} {job.source.name}")
        outcome.attempt(converter, job, outcome.bar.update)
