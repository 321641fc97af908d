"""Arguments that several verbs share, and what they become."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from cvsr.io.formats import FORMATS

if TYPE_CHECKING:
    from cvsr.options import Options

EXIT_CODES = "exit codes: 0 success, 1 some files failed, 2 wrong usage, 3 OpenCV or the device is missing or broken"


def add_conversion(parser: argparse.ArgumentParser) -> None:
    """Add the options of how images are enlarged and written, the same for all verbs that do so."""
    add = parser.add_argument
    size = parser.add_mutually_exclusive_group()
    size.add_argument("-s", "--scale", type=float, help="factor, any number; default 2")
    size.add_argument("--size", type=size_of, metavar="WxH", help="size of the result in pixels, for example 1920x1080")
    add_model(parser)
    written = ", ".join(name for name, known in FORMATS.items() if known.dtypes)
    add("--format", help=f"{written}; default: that of -o, else the input's")
    add("--quality", type=_quality, metavar="1-100", help="quality of lossy formats; default 95")
    add("--normalize", action="store_true", help="for TIFF: map the lowest value to black and the highest to white")
    add("--max-memory", metavar="SIZE", help="memory limit for the whole process, for example 512M")
    add("--exact", action="store_true", help="the same bits whatever the tiles and the version of OpenCV; slower")
    add_effort(parser)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the options for the model and the device."""
    add = parser.add_argument
    add("-m", "--model", default="auto", help="a name (see cvsr models), a model file or a folder; default auto")
    add("-d", "--device", default="auto", help="auto, cpu, cuda, opencl, … (see cvsr doctor); default auto")


def add_effort(parser: argparse.ArgumentParser) -> None:
    """Add the option that skips the network where interpolation is as good."""
    about = "fast: interpolate tiles without detail, for screenshots and drawings; default full"
    parser.add_argument("--effort", choices=["full", "fast"], default="full", help=about)


def options_of(args: argparse.Namespace) -> Options:
    """Return the options that :func:`add_conversion` declared."""
    from cvsr.options import Options  # with OpenCV, which --help does not need

    return Options(
        args.model, args.scale, args.size, args.device, args.format, args.quality, args.max_memory, args.exact,
        args.effort, args.normalize,
    )  # fmt: skip


def size_of(text: str) -> tuple[int, int]:
    """Return (width, height) of a text such as 1920x1080. Raise ArgumentTypeError if it is not one."""
    width, x, height = text.lower().partition("x")
    if not (x and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"invalid size {text!r}: use WIDTHxHEIGHT, for example 1920x1080")
    return int(width), int(height)


def _quality(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 100):
        raise argparse.ArgumentTypeError(f"invalid quality {text!r}: use a number from 1 to 100")
    return int(text)
