"""A film enlarged with OpenCV's own reader and writer, if PyAV is missing: the pictures alone."""

import time
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cvsr._cv2 import cv2
from cvsr.errors import FileError, OptionError
from cvsr.image import Image
from cvsr.inference.stages import Progress, Report
from cvsr.upscaler import Upscaler
from cvsr.video import pyav, read_ahead
from cvsr.video.film import FilmResult, Note, Task
from cvsr.video.source import Step, captured

_CODECS = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG", ".webm": "VP80"}


def convert(task: Task, upscaler: Upscaler, step: Step, *, progress: Report, note: Note) -> FilmResult:
    """Write ``task.target`` at a constant rate. KeyboardInterrupt ends it with a film of the frames so far.

    Raise FileError or OptionError, and what ``step`` raises; there is no result then.
    """
    _check(task)
    capture = cv2.VideoCapture(str(task.source))
    images = captured(capture, str(task.source), release=True)
    rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
    size = upscaler.output_size(int(capture.get(3)), int(capture.get(4)))
    total = max(1, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
    lost = "sound, subtitles, metadata, the times of frames, color tags"
    note(f"PyAV is missing. OpenCV drops {lost} and all bits beyond 8; to keep them: {pyav.REMEDY}")

    target, begun, count, stopped = task.target, time.monotonic(), 0, False
    with TemporaryDirectory(prefix=".cvsr-", dir=target.parent) as here:  # OpenCV goes by the suffix of the name
        temporary = Path(here, target.name)
        writer = cv2.VideoWriter(str(temporary), _fourcc(target.suffix.lower()), rate, size)
        if not writer.isOpened():
            raise FileError(f"{target}: OpenCV {cv2.__version__} cannot write such a film, PyAV can: {pyav.REMEDY}")

        def write(images: Iterator[Image]) -> None:
            for image in images:
                writer.write(image)

        progress(Progress(0, total))
        try:
            wanted = _between(images, rate, task.start, task.end)
            with closing(read_ahead.ahead(wanted)) as ahead, read_ahead.Sink(write) as sink:
                for image in ahead:
                    sink.put(step(image))
                    count += 1
                    progress(Progress(count, total))
        except KeyboardInterrupt:
            stopped = True
        finally:
            writer.release()
        if not count:
            raise FileError(f"{task.source} has no frames between --start and --end, or none that can be decoded")
        temporary.replace(target)
    return FilmResult(count, count, time.monotonic() - begun, size, stopped)


def _check(task: Task) -> None:
    asked = [name for name, value in (("--codec", task.codec), ("--crf", task.crf)) if value is not None]
    asked += ["--resume"] if task.resume else []
    if asked:
        raise OptionError(f"{', '.join(asked)} needs PyAV, which is not installed: {pyav.REMEDY}")
    if not task.source.exists():
        raise FileError(f"{task.source}: there is no such file; check the path")
    if not task.target.parent.is_dir():
        raise FileError(f"{task.target.parent} is not a folder: create it first")
    if task.target.suffix.lower() not in _CODECS:
        raise OptionError(f"{task.target}: unknown suffix for a film; use {', '.join(_CODECS)}")


def _fourcc(suffix: str) -> int:
    code: int = cv2.VideoWriter.fourcc(*_CODECS[suffix])
    return code


def _between(images: Iterator[Image], rate: float, start: Fraction | None, end: Fraction | None) -> Iterator[Any]:
    for number, image in enumerate(images):
        if end is not None and number >= end * Fraction(rate):
            return
        if number >= (start or 0) * Fraction(rate):
            yield image
