"""``cvsr upscale --scheduler``: files spread over the workers of a dask.distributed cluster that runs already.

Only paths and options travel: each worker reads its file from the folder that all share and writes the result there, to
a temporary file that it renames. A worker that is lost costs the files that it had begun, which others begin anew.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import itertools
import logging
import os
import secrets
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cvsr import __version__
from cvsr.batch import cluster_worker
from cvsr.batch.cluster_worker import Order, Report
from cvsr.batch.jobs import PIPE, Job
from cvsr.batch.outcome import Outcome
from cvsr.cli.bar import Bar
from cvsr.errors import CvsrError, DeviceError, FileError, ModelError, OpenCVError, OptionError
from cvsr.io import atomic
from cvsr.modelfiles import zoo

_CONNECT = 10  # seconds
_AHEAD = 4096  # files that the scheduler knows of at a time: more than any cluster has threads
_RETRIES = 2
_OURS = ("run", "inputs", "output", "recursive", "overwrite", "scheduler")  # arguments that workers need not know

log = logging.getLogger("cvsr")


def run(args: argparse.Namespace, jobs: Sequence[Job], outcome: Outcome) -> None:
    """Do the jobs on the cluster at ``args.scheduler`` and note in ``outcome`` what became of each.

    Whatever is wrong with a file is noted and does not stop the others. Raises OptionError where there is no scheduler,
    ModelError, DeviceError or OpenCVError where a worker cannot upscale at all; KeyboardInterrupt cancels the rest.
    """
    if any(PIPE in (job.source, job.target) for job in jobs):
        raise OptionError("--scheduler is for files: standard input and output stay on this machine")
    todo: list[Job] = []
    for job in jobs:
        if job.skip:
            outcome.skipped.append(job.skip)
        elif job.refusal:
            outcome.failed.append(f"{job.source}: {job.refusal}")
        else:
            todo.append(replace(job, source=job.source.absolute(), target=job.target.absolute()))
    options = _options(args)
    with _connected(args.scheduler) as client, _marked(todo if args.output else []) as marker:
        _check_workers(client, outcome.bar)
        outcome.bar.start(f"{len(todo)} files")
        _spread(client, Order(options, secrets.token_hex(8), marker, args.overwrite), todo, outcome)
        client.run(cluster_worker.clean, sorted({job.target.parent for job in todo}), on_error="ignore")


def _options(args: argparse.Namespace) -> tuple[tuple[str, Any], ...]:
    """Return what a worker's Converter needs of the arguments. Raise ModelError where there is no such model."""
    found = next(iter(zoo.find(args.model).values()))
    ours = found.path is None or any(root in found.path.parents for root in zoo.roots())
    options = {key: value for key, value in vars(args).items() if key not in _OURS}
    options["model"] = args.model if ours else str(Path(args.model).absolute())
    return tuple(sorted(options.items()))


@contextlib.contextmanager
def _connected(address: str) -> Generator[Any, None, None]:
    """Yield a client of the scheduler. Raise OptionError where there is none, or no dask here."""
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError as error:
        raise OptionError(f'--scheduler needs dask.distributed ({error}): pip install "cvsr[dask]"') from error
    try:
        client = distributed.Client(address, timeout=_CONNECT, set_as_default=False, name="cvsr")
    except (OSError, ValueError) as error:  # among them TimeoutError
        raise OptionError(
            f"no scheduler answers at {address} ({error}): `dask scheduler` starts one and says its address, which is "
            "like tcp://HOST:8786"
        ) from error
    with client:
        yield client


@contextlib.contextmanager
def _marked(jobs: Sequence[Job]) -> Generator[Path | None, None, None]:
    """Keep a file in the folder that the jobs' results go to, for workers to see that they have the same folder."""
    if not jobs:
        yield None
        return
    place = Path(os.path.commonpath([job.target.parent for job in jobs]))
    try:
        place.mkdir(parents=True, exist_ok=True)
        with atomic.temporary(place) as marker:
            marker.touch()
            yield marker
    except OSError as error:
        raise FileError(f"{place} cannot be written: {error.strerror or error}") from error


def _check_workers(client: Any, bar: Bar) -> None:
    """Say it where there are no workers yet or others than this machine; raise OptionError where one has no cvsr."""
    slow = 0
    for address, found in client.run(cluster_worker.about, on_error="return").items():
        if isinstance(found, Exception):
            raise OptionError(
                f"the worker {address} cannot run cvsr ({found}): install cvsr {__version__} with an OpenCV and the "
                "extra dask there, in the Python that runs the worker"
            )
        version, hindered = found
        slow += hindered
        if version != __version__:
            bar.note(f"the worker {address} has cvsr {version} and this is {__version__}: results may differ")
    if slow:
        bar.note(
            f"{slow} workers give memory back to the system all the time, which dask has them do, and take up to three "
            "times as long for it: start them with MALLOC_TRIM_THRESHOLD_=268435456 MALLOC_MMAP_THRESHOLD_=33554432 in "
            "the environment"
        )
    if not client.nthreads():
        bar.note("the cluster has no workers yet: waiting for some (`dask worker ADDRESS` starts one)")


def _spread(client: Any, order: Order, jobs: Sequence[Job], outcome: Outcome) -> None:
    """Hand the jobs to the workers, so many ahead, and take in what they report."""
    distributed: Any = importlib.import_module("distributed")
    running = distributed.as_completed(loop=client.loop, with_results=True, raise_errors=False)
    known: dict[str, tuple[Any, Job]] = {}
    waiting = iter(jobs)

    def submit(count: int) -> None:
        for job in itertools.islice(waiting, count):
            key = f"cvsr-{order.run}-{job.target}"
            future = client.submit(cluster_worker.convert, order, job, key=key, pure=False, retries=_RETRIES)
            known[key] = (future, job)
            running.add(future)

    try:
        submit(_AHEAD)
        for future, result in running:
            _, job = known.pop(future.key)
            _take(future.status, result, job, outcome)
            submit(1)
            outcome.bar.update(outcome.written + len(outcome.skipped) + len(outcome.failed), outcome.total)
    except BaseException:
        with contextlib.suppress(Exception):  # the scheduler may be what is gone
            client.cancel([future for future, _ in known.values()], force=True)
        raise


def _take(status: str, result: Any, job: Job, outcome: Outcome) -> None:
    """Note what became of a file; raise what would go the same way with the next one."""
    if status == "error":
        outcome.failed.append(_named(job, _lost(result[1])))
        return
    if not isinstance(result, Report):
        raise CvsrError(f"the scheduler is gone, or has cancelled the work ({result!r}): the same command goes on")
    for level, text in result.notes:
        log.log(level, "%s", text)
    if result.error is None:
        outcome.written += 1
    elif isinstance(result.error, (DeviceError, ModelError, OpenCVError, OptionError)):
        raise type(result.error)(f"on the worker {result.worker}: {result.error}")
    else:
        outcome.failed.append(_named(job, str(result.error)))


def _named(job: Job, text: str) -> str:
    return text if text.startswith((str(job.source), str(job.target))) else f"{job.source}: {text}"


def _lost(error: BaseException) -> str:
    """Return why a file failed that no worker could report."""
    if type(error).__name__ == "KilledWorker":
        return (
            "all the workers that began it died, maybe for want of memory: give them more, or fewer threads, or use "
            "--max-memory"
        )
    return f"{str(error) or type(error).__name__} (tried {1 + _RETRIES} times)"
