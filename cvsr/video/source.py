"""Frames for scripts: of a file, a camera, an open capture or a list, enlarged one by one."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from os import PathLike
from pathlib import Path
from typing import Any, cast

from cvsr._cv2 import cv2
from cvsr.errors import FileError
from cvsr.image import Image
from cvsr.sequence import Sequence
from cvsr.upscaler import Upscaler
from cvsr.video import pyav, read_ahead
from cvsr.video.reader import Reader


def frames(
    source: str | PathLike[str] | int | Iterable[Image] | Any, upscaler: Upscaler
) -> Generator[Image, None, None]:
    """Yield the frames of ``source`` enlarged, in order; the next ones are read while one is computed.

    ``source``: a film's path (frames are uint8 BGR and upright; PyAV reads it if that is installed, else OpenCV),
    the number of a camera, a ``cv2.VideoCapture``, or images, such as another generator.
    Raises FileError if the source cannot be opened, and what ``Upscaler`` raises for an image.
    """
    enlarge = enlarger(upscaler)
    with closing(read_ahead.ahead(_images(source))) as images:
        for image in images:
            yield enlarge(image)


def _images(source: Any) -> Iterator[Image]:
    if isinstance(source, (str, PathLike)):
        path = Path(cast("str | PathLike[str]", source))
        if pyav.find() is not None:
            return (shot.image for shot in Reader(path).frames())
        if not path.exists():
            raise FileError(f"{path}: there is no such file; check the path")
        return captured(cv2.VideoCapture(str(path)), str(path), release=True)
    if isinstance(source, int):
        return captured(cv2.VideoCapture(source), f"camera {source}", release=True)
    if hasattr(source, "read") and hasattr(source, "isOpened"):
        return captured(source, "the capture", release=False)
    return iter(source)


def captured(capture: Any, name: str, *, release: bool) -> Iterator[Image]:
    """Return the frames of a ``cv2.VideoCapture``. Raise FileError if it is not open."""
    if not capture.isOpened():
        raise FileError(f"{name} cannot be opened: OpenCV finds no such camera, or cannot read such files")

    def images() -> Iterator[Image]:
        try:
            while True:
                good, image = capture.read()
                if not good:
                    return
                yield image
        finally:
            if release:
                capture.release()

    return images()


Step = Callable[[Image], Image]
"""Takes a film's frames one after the other, in order and from one thread, and gives each one enlarged."""


def enlarger(upscaler: Upscaler) -> Step:
    """Return the step for one film: BGR (H, W, 3), uint8 or uint16, to the same kind, larger.

    It keeps the last frame, so every film (and every part that is not read in order) needs its own.
    """
    return Sequence(upscaler)
