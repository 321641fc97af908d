"""``cvsr upscale --scheduler``: files distributed over the workers of a running dask.distributed cluster.

Only paths and options travel: each worker reads its file from the shared folder and writes the result there, to a
temporary file that it renames. If a worker is lost, others redo the files that it had begun.
"""

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
from cvsr.batch.cluster_worker import ClusterRun, Finished
from cvsr.batch.jobs import PIPE, Job
from cvsr.batch.listener import Listener
from cvsr.batch.outcome import Outcome, about
from cvsr.errors import CvsrError, DeviceError, FileError, ModelError, OpenCVError, OptionError, install_hint
from cvsr.inference.stages import Progress
from cvsr.io import atomic
from cvsr.modelfiles import zoo
from cvsr.modelfiles.info import ModelInfo
from cvsr.options import Options

_CONNECT = 10  # seconds
_AHEAD = 4096  # files that the scheduler knows of at a time: more than any cluster has threads
_RETRIES = 2

log = logging.getLogger("cvsr")


def run(
    options: Options, jobs: Sequence[Job], outcome: Outcome, *, scheduler: str, shared: bool, overwrite: bool
) -> None:
    """Do the jobs on the cluster at the address ``scheduler`` and note in ``outcome`` what became of each.

    ``shared``: results go to another folder than their inputs, which workers must see too. Whatever is wrong with a
    file is noted and does not stop the others. Raise OptionError if there is no scheduler, ModelError, DeviceError or
    OpenCVError if a worker cannot upscale at all; KeyboardInterrupt cancels the rest.
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
    options = portable(options)
    with _connected(scheduler) as client, _marked(todo if shared else []) as marker:
        _check_workers(client, outcome.listener)
        outcome.listener.start(f"{len(todo)} files")
        _distribute(client, ClusterRun(options, secrets.token_hex(8), marker, overwrite), todo, outcome)
        client.run(cluster_worker.clean, sorted({job.target.parent for job in todo}), on_error="ignore")


def portable(options: Options) -> Options:
    """Return options that mean the same on every machine: model files by absolute paths. Raise ModelError."""
    model = options.model
    found = next(iter(zoo.find(model).values()))
    bundled = found.path is None or any(root in found.path.parents for root in zoo.roots())
    return options if bundled or isinstance(model, ModelInfo) else replace(options, model=str(Path(model).absolute()))


@contextlib.contextmanager
def _connected(address: str) -> Generator[Any, None, None]:
    """Yield a client of the scheduler. Raise OptionError if there is none, or dask is not installed."""
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError as error:
        raise OptionError(f"--scheduler needs dask.distributed ({error}): {install_hint('dask')}") from error
    try:
        client = distributed.Client(address, timeout=_CONNECT, set_as_default=False, name="cvsr")
    except (OSError, ValueError) as error:  # among them TimeoutError
        raise OptionError(
            f"no scheduler answers at {address} ({error}): start one with `dask scheduler`, which prints its address, "
            "such as tcp://HOST:8786"
        ) from error
    with client:
        yield client


@contextlib.contextmanager
def _marked(jobs: Sequence[Job]) -> Generator[Path | None, None, None]:
    """Keep a file in the folder for results, by which workers recognize that they see the same folder."""
    if not jobs:
        yield None
        return
    folder = Path(os.path.commonpath([job.target.parent for job in jobs]))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic.temporary(folder) as marker:
            marker.touch()
            yield marker
    except OSError as error:
        raise FileError(f"{folder} cannot be written: {error.strerror or error}") from error


def _check_workers(client: Any, listener: Listener) -> None:
    """Note if there are no workers yet, or some with another version; raise OptionError if one has no cvsr."""
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
            listener.note(f"the worker {address} has cvsr {version}, this machine {__version__}: results may differ")
    if slow:
        listener.note(
            f"on {slow} workers, dask's settings of malloc return memory to the system again and again: they are up "
            "to three times as slow: start them with MALLOC_TRIM_THRESHOLD_=268435456 "
            "MALLOC_MMAP_THRESHOLD_=33554432 in the environment"
        )
    if not client.nthreads():
        listener.note("the cluster has no workers yet: waiting (start one with `dask worker ADDRESS`)")


def _distribute(client: Any, run: ClusterRun, jobs: Sequence[Job], outcome: Outcome) -> None:
    """Submit the jobs to the workers, some ahead of time, and collect what they report."""
    distributed: Any = importlib.import_module("distributed")
    running = distributed.as_completed(loop=client.loop, with_results=True, raise_errors=False)
    submitted: dict[str, tuple[Any, Job]] = {}
    waiting = iter(jobs)

    def submit(count: int) -> None:
        for job in itertools.islice(waiting, count):
            key = f"cvsr-{run.name}-{job.target}"
            future = client.submit(cluster_worker.enlarge, run, job, key=key, pure=False, retries=_RETRIES)
            submitted[key] = (future, job)
            running.add(future)

    try:
        submit(_AHEAD)
        for future, result in running:
            _, job = submitted.pop(future.key)
            _take(future.status, result, job, outcome)
            submit(1)
            outcome.listener.progress(Progress(outcome.finished, outcome.total))
    except BaseException:
        with contextlib.suppress(Exception):  # the scheduler itself may be gone
            client.cancel([future for future, _ in submitted.values()], force=True)
        raise


def _take(status: str, result: Any, job: Job, outcome: Outcome) -> None:
    """Note what became of a file; raise what would fail in the same way with each file."""
    if status == "error":
        outcome.failed.append(about(job, CvsrError(_reason(result[1]))))
        return
    if not isinstance(result, Finished):
        raise CvsrError(f"the scheduler is gone, or cancelled the work ({result!r}): run the command again to resume")
    for level, text in result.notes:
        log.log(level, "%s", text)
    if result.error is None:
        outcome.written += 1
    elif isinstance(result.error, (DeviceError, ModelError, OpenCVError, OptionError)):
        raise type(result.error)(f"on the worker {result.worker}: {result.error}")
    else:
        outcome.failed.append(about(job, result.error))


def _reason(error: BaseException) -> str:
    """Return why a file failed that no worker could report."""
    if type(error).__name__ == "KilledWorker":
        return (
            "all workers that began it died, possibly out of memory: give them more memory or fewer threads, or use "
            "--max-memory"
        )
    return f"{str(error) or type(error).__name__} (tried {1 + _RETRIES} times)"
