"""A film enlarged: decoded, upscaled and encoded at the same time, in parts that survive a crash."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

from cvsr import __version__
from cvsr.errors import FileError, OptionError
from cvsr.inference.stages import Progress, Report
from cvsr.io import atomic
from cvsr.upscaler import Upscaler
from cvsr.video import encoder, mux, pyav, read_ahead
from cvsr.video.parts import Parts
from cvsr.video.reader import Reader, Shot
from cvsr.video.source import Step

Note = Callable[[str], object]
"""Is called with what the user should know, such as what gets lost."""


@dataclass(frozen=True)
class Task:
    """What to do. ``start`` and ``end`` are seconds from the beginning; ``label`` distinguishes kinds of runs."""

    source: Path
    target: Path
    codec: str | None = None
    crf: float | None = None
    start: Fraction | None = None
    end: Fraction | None = None
    resume: bool = False
    overwrite: bool = False
    label: str = ""


@dataclass(frozen=True)
class FilmResult:
    """What was written: frames in the result, how many of them are new, and the seconds that these took."""

    frames: int
    new: int
    seconds: float
    size: tuple[int, int]
    stopped: bool


def convert(task: Task, upscaler: Upscaler, step: Step, *, progress: Report, note: Note) -> FilmResult:
    """Write ``task.target``. KeyboardInterrupt ends it with a film of the frames so far, and the parts to continue.

    ``progress`` is first called with the frames that an earlier run did; the total is an estimate. Raise FileError or
    OptionError, and what ``step`` raises; the parts are kept then.
    """
    reader = Reader(task.source)
    settings, upright = _settings(task, reader, upscaler, note)
    others = mux.kept(reader, task.target, note)
    atomic.remove_leftovers(task.target.parent)
    parts = Parts(task.target)
    parts.begin(_plan(task, upscaler, settings), resume=task.resume, overwrite=task.overwrite)

    begun, before, stopped = time.monotonic(), parts.done, False
    shots = reader.frames(task.start, task.end, after=parts.last, deep=settings.deep, upright=upright)
    total = max(1, _count(task, reader))
    try:
        _pump(shots, step, partial(parts.write, settings=settings), lambda new: progress(Progress(before + new, total)))
    except KeyboardInterrupt:
        stopped = True
    finally:
        if not parts.records:  # nothing to continue
            parts.remove()
    seconds = time.monotonic() - begun
    if reader.damaged:
        note(f"{reader.damaged} damaged packets were dropped")
    if parts.records:
        mux.join(reader, parts, settings, task.target, others, _span(task, reader, parts, stopped))
        if not stopped:
            parts.remove()
    elif not stopped:
        raise FileError(f"{task.source} has no frames between --start and --end")
    return FilmResult(parts.done, parts.done - before, seconds, settings.size, stopped)


def _settings(task: Task, reader: Reader, upscaler: Upscaler, note: Note) -> tuple[encoder.Settings, bool]:
    """Return what to encode with, and whether frames must be rotated for it."""
    facts = reader.facts
    if task.start is not None and facts.duration and task.start >= facts.duration:
        raise OptionError(f"--start: {task.source} ends after {float(facts.duration):.2f} seconds")
    upright = facts.orientation != 1 and not mux.keeps_rotation()
    size = facts.size
    if upright and facts.orientation >= 5:  # on its side
        size = size[::-1]
        facts = replace(facts, aspect=1 / facts.aspect if facts.aspect else None)
    _warn(reader, note)
    large = upscaler.output_size(*size)
    return encoder.settings_for(task.target, facts, large, codec=task.codec, crf=task.crf, note=note), upright


def _pump(
    shots: Iterator[Shot], step: Step, write: Callable[[Iterator[Shot]], object], done: Callable[[int], object]
) -> None:
    """Read ahead in one thread, enlarge in this one, write in a third."""
    done(0)
    with closing(read_ahead.ahead(shots)) as ahead, read_ahead.Sink[Shot](write) as sink:
        for number, shot in enumerate(ahead, 1):
            sink.put(replace(shot, image=step(shot.image)))
            done(number)


def _warn(reader: Reader, note: Note) -> None:
    facts = reader.facts
    if facts.interlaced:
        note("it is interlaced: both fields are enlarged as one frame; deinterlace it first for a clean result")
    if facts.alpha:
        note("its transparency is lost")
    if facts.mastering:
        note("its HDR mastering data is lost; the colors, the transfer curve and the bits are kept")


def _plan(task: Task, upscaler: Upscaler, settings: encoder.Settings) -> dict[str, str]:
    """Return what must be the same for parts to fit together."""
    file = task.source.stat()
    return {
        "source": f"{task.source.resolve()}, {file.st_size} bytes, {file.st_mtime_ns}",
        "effort": upscaler.effort,
        "model": " ".join(f"{info.name}:{info.sha256}" for info in upscaler.models.values()),
        "scale": f"{upscaler.scale or 0:g}",
        "encoder": f"{settings.encoder} {settings.options} {settings.pix_fmt}",
        "size": f"{settings.size[0]}x{settings.size[1]}",
        "start": f"{task.start}",
        "end": f"{task.end}",
        "kind": task.label,
        "versions": f"cvsr {__version__}, PyAV {pyav.load().__version__}",
    }


def _count(task: Task, reader: Reader) -> int:
    """Return about how many frames there will be."""
    facts = reader.facts
    if task.start is None and task.end is None:
        return facts.frames
    end = facts.duration if task.end is None else min(task.end, facts.duration or task.end)
    return round((end - (task.start or 0)) * facts.rate)


def _span(task: Task, reader: Reader, parts: Parts, stopped: bool) -> mux.Clip:
    facts = reader.facts
    end = None if task.end is None else facts.origin + task.end
    if stopped:
        end = parts.records[-1].end * facts.time_base
    return mux.Clip(facts.origin + (task.start or 0), end, task.start is None and end is None)
