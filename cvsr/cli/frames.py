"""What ``cvsr frames`` does: raw BGR frames from standard input, enlarged, to standard output."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any, BinaryIO, cast

import numpy as np

from cvsr.cli import options
from cvsr.errors import FileError, OptionError
from cvsr.image import Image
from cvsr.upscaler import Upscaler
from cvsr.video import read_ahead
from cvsr.video.source import Step, enlarger

_EPILOG = """example:
  ffmpeg -i in.mp4 -f rawvideo -pix_fmt bgr24 - | cvsr frames 640 360 |
    ffmpeg -f rawvideo -pix_fmt bgr24 -s 1280x720 -r 25 -i - out.mp4
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``cvsr frames``."""
    parser.description = "Enlarge raw frames, 8-bit BGR (bgr24), from standard input to standard output."
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("width", type=_side, metavar="W", help="the width of the frames that come in")
    add("height", type=_side, metavar="H", help="their height")
    add("-s", "--scale", type=float, help="how much larger; any number, default 2")
    add("-m", "--model", default="auto", help="a name (see cvsr models), a model file or a folder; default auto")
    add("-d", "--device", default="auto", help="where to run: auto, cpu, cuda, opencl, … (see cvsr doctor)")
    options.add_effort(parser)


def main(args: argparse.Namespace) -> int:
    """Run ``cvsr frames`` and return the exit code; raise what is wrong with the arguments or the frames."""
    if sys.stdin.isatty() or sys.stdout.isatty():
        raise OptionError("frames come from standard input and go to standard output: connect both to other programs")
    upscaler = Upscaler(args.model, args.scale, device=args.device, effort=args.effort)
    width, height = upscaler.output_size(args.width, args.height)
    print(f"cvsr: frames of {width}x{height} bgr24 on standard output", file=sys.stderr)
    # without Python's buffers: a thread that waits in one would keep the process from ending
    with (
        open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as source,
        open(sys.stdout.fileno(), "wb", buffering=0, closefd=False) as target,
    ):
        _pump(source, target, (args.height, args.width, 3), enlarger(upscaler))
    return 0


def _pump(source: BinaryIO, target: BinaryIO, shape: tuple[int, int, int], enlarge: Step) -> None:
    def write(images: Iterator[Image]) -> None:
        for image in images:
            left = memoryview(cast("Any", np.ascontiguousarray(image))).cast("B")
            while left:  # a pipe takes what it has room for
                left = left[target.write(left) :]

    with closing(read_ahead.ahead(read(source, shape))) as images, read_ahead.Sink[Image](write) as sink:
        for image in images:
            sink.put(enlarge(image))


def read(source: BinaryIO, shape: tuple[int, int, int]) -> Iterator[Image]:
    """Yield frames of ``shape`` = (height, width, 3), uint8, to the end of ``source``.

    Raise FileError, behind the last whole frame, where the end is none of a frame, or comes at once.
    """
    number = 0
    while True:
        image = np.empty(shape, np.uint8)
        left = memoryview(cast("Any", image)).cast("B")
        while left and (got := source.readinto(left)):  # pyright: ignore[reportAttributeAccessIssue]
            left = left[got:]
        if left:
            break
        yield image
        number += 1
    missing = len(left)
    if missing < image.nbytes:
        raise FileError(
            f"standard input ended in frame {number + 1}, {missing} bytes short of the {image.nbytes} that "
            f"{shape[1]}x{shape[0]} pixels of bgr24 have; the {number} frames before it are written. Is that the size?"
        )
    if not number:
        raise FileError("standard input had no frames: look at what the program before this one says")


def _side(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of pixels")
    return int(text)
