"""The work of ``cvsr upscale``: plan the files, enlarge them, print a summary. It loads OpenCV; --help does not."""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from cvsr.batch import jobs, overlapped
from cvsr.batch.enlarge import Enlarger
from cvsr.batch.jobs import PIPE, Job
from cvsr.batch.outcome import Outcome
from cvsr.cli import arguments
from cvsr.cli.bar import Bar
from cvsr.cli.signals import notes_to, stopped_by_signals
from cvsr.errors import FileError, OptionError
from cvsr.io import atomic, formats
from cvsr.io.formats import Format
from cvsr.options import Options


def upscale(args: argparse.Namespace) -> int:
    """Run ``cvsr upscale`` and return the exit code; raise what is wrong with the arguments or the machine."""
    bar, options = Bar(sys.stderr), arguments.options_of(args)
    with stopped_by_signals() as caught, notes_to(bar):
        todo = plan(args, options)
        work = _way(args, options, todo)
        outcome = Outcome(bar, len(todo))
        stopped = True
        try:
            for parent in {job.target.parent for job in todo if job.target != PIPE}:
                atomic.remove_leftovers(parent)
            work(todo, outcome)
            stopped = False
        except KeyboardInterrupt:
            return 128 + (caught[0] if caught else signal.SIGINT)
        finally:
            if stopped or outcome.failed or not any(job.target == PIPE for job in todo):
                _summarize(outcome, bar, stopped)
        return 1 if outcome.failed else 0


def plan(args: argparse.Namespace, options: Options) -> list[Job]:
    """Return what is to be done. Raise OptionError if inputs and output do not fit together."""
    inputs: list[str] = args.inputs
    forced = formats.format_named(options.format) if options.format else None
    if "-" in inputs or args.output == "-":
        return _pipe_jobs(args, options, forced)
    output = Path(args.output) if args.output else None
    several = len(inputs) > 1 or any(map(jobs.is_group, inputs))
    into_folder = several or (output is not None and (args.output.endswith(("/", os.sep)) or output.is_dir()))
    if output and several and output.is_file():
        raise OptionError(f"{output} is a file, and there may be several inputs: name a folder with -o")
    if output and not into_folder:
        jobs.check_target(output, forced)
    found = list(jobs.find(inputs, recursive=args.recursive, leave_out=output if into_folder else None))
    if not found:
        raise FileError(f"no images found in {', '.join(inputs)}" + ("" if args.recursive else " (-r searches deeper)"))
    return jobs.plan(found, options, output=output, into_folder=into_folder, overwrite=args.overwrite)


def _pipe_jobs(args: argparse.Namespace, options: Options, forced: Format | None) -> list[Job]:
    output = args.output or "-"
    if len(args.inputs) > 1 or jobs.is_group(args.inputs[0]):
        raise OptionError("- stands for one image: give one input and one output")
    if output == "-":
        if sys.stdout.isatty():
            raise OptionError("the image would go to the terminal: redirect standard output, or name a file with -o")
        return [Job(Path(args.inputs[0]), PIPE)]
    if output.endswith(("/", os.sep)) or Path(output).is_dir():
        raise OptionError(f"an image from standard input has no name: give a file with -o, not the folder {output}")
    jobs.check_target(Path(output), forced)
    return jobs.plan([jobs.Input(PIPE)], options, output=Path(output), into_folder=False, overwrite=args.overwrite)


def _way(args: argparse.Namespace, options: Options, todo: list[Job]) -> Callable[[list[Job], Outcome], None]:
    """Return what does the jobs: this process, one or two at a time, or the workers of a cluster."""
    if args.scheduler:
        from cvsr.batch import cluster  # the others do not need it

        shared, overwrite = bool(args.output), args.overwrite
        return partial(cluster.run, options, scheduler=args.scheduler, shared=shared, overwrite=overwrite)
    several = len(todo) > 1 and not args.max_memory and all(PIPE not in (job.source, job.target) for job in todo)
    return partial(overlapped.run if several else _one_by_one, Enlarger(options))


def _one_by_one(enlarger: Enlarger, todo: list[Job], outcome: Outcome) -> None:
    for number, job in enumerate(todo, 1):
        outcome.listener.start(job.source.name if len(todo) == 1 else f"{number}/{len(todo)} {job.source.name}")
        outcome.attempt(enlarger, job, outcome.listener.progress)


def _summarize(outcome: Outcome, bar: Bar, stopped: bool) -> None:
    """Print how many files were written, skipped and failed, and why."""
    bar.done()
    for failure in outcome.failed:
        bar.say(f"cvsr: failed: {failure}")
    skipped = outcome.skipped
    why = f" ({skipped[0]})" if len(skipped) == 1 else " (done already; --overwrite does them again)"
    parts = [f"{outcome.written} written", f"{len(skipped)} skipped{why if skipped else ''}"]
    parts.append(f"{len(outcome.failed)} failed")
    if stopped:
        left = outcome.total - outcome.finished
        parts.append(f"stopped with {left} to go: run the same command again to resume")
    bar.say("cvsr: " + ", ".join(parts))
