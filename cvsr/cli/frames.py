"""The verb ``cvsr frames``: enlarge raw BGR frames from standard input to standard output."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any, BinaryIO, cast

import numpy as np

from cvsr.cli import arguments
from cvsr.errors import FileError, OptionError
from cvsr.image import Image
from cvsr.upscaler import Upscaler
from cvsr.video import read_ahead
from cvsr.video.source import Step, enlarger

DESCRIPTION = "Enlarge raw frames, 8-bit BGR (bgr24), from standard input to standard output."
EPILOG = """example:
  ffmpeg -i in.mp4 -f rawvideo -pix_fmt bgr24 - | cvsr frames 640 360 |
    ffmpeg -f rawvideo -pix_fmt bgr24 -s 1280x720 -r 25 -i - out.mp4
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``cvsr frames``."""
    add = parser.add_argument
    add("width", type=_side, metavar="W", help="width of the incoming frames")
    add("height", type=_side, metavar="H", help="height of the incoming frames")
    add("-s", "--scale", type=float, help="factor, any number; default 2")
    arguments.add_model(parser)
    arguments.add_effort(parser)


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
            while left:  # a pipe accepts as much as it has room for
                left = left[target.write(left) :]

    with closing(read_ahead.ahead(read(source, shape))) as images, read_ahead.Sink[Image](write) as sink:
        for image in images:
            sink.put(enlarge(image))


def read(source: BinaryIO, shape: tuple[int, int, int]) -> Iterator[Image]:
    """Yield frames of ``shape`` = (height, width, 3), uint8, to the end of ``source``.

    Raise FileError if the input ends within a frame, after the frames before it, or has no frames.
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
            f"{shape[1]}x{shape[0]} pixels of bgr24 have; the {number} frames before it are written. "
            "Check width and height"
        )
    if not number:
        raise FileError("standard input had no frames: see what the program before this one reports")


def _side(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"invalid number of pixels: {text!r}")
    return int(text)
