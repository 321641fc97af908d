"""Options that several verbs share."""

from __future__ import annotations

import argparse

from cvsr.io.formats import FORMATS


def add_conversion(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what an image becomes, the same for all verbs that write images."""
    add = parser.add_argument
    size = parser.add_mutually_exclusive_group()
    size.add_argument("-s", "--scale", type=float, help="how much larger; any number, default 2")
    size.add_argument(
        "--size", type=size_of, metavar="WxH", help="the size of the result in pixels, for example 1920x1080"
    )
    add("-m", "--model", default="auto", help="a name (see cvsr models), a model file or a folder; default auto")
    add(
        "-d",
        "--device",
        default="auto",
        help="where to run: auto, cpu, cuda, opencl, … (see cvsr doctor); default auto",
    )
    written = ", ".join(name for name, known in FORMATS.items() if known.dtypes)
    add("--format", help=f"{written}; default: that of -o, else the input's")
    add("--quality", type=_quality, metavar="1-100", help="of lossy formats; default 95")
    add("--normalize", action="store_true", help="of TIFF: take its lowest value for black, its highest for white")
    add("--max-memory", metavar="SIZE", help="what the whole process may use, for example 512M")
    add("--exact", action="store_true", help="the same bits whatever the tiles and the version of OpenCV; slower")
    add_effort(parser)


def add_effort(parser: argparse.ArgumentParser) -> None:
    """Add the option that leaves out what interpolation does as well."""
    about = "fast: interpolate where there is no detail; pays on screens and drawings; default full"
    parser.add_argument("--effort", choices=["full", "fast"], default="full", help=about)


def size_of(text: str) -> tuple[int, int]:
    """Return (width, height) of a text such as 1920x1080. Raise ArgumentTypeError where it is none."""
    width, x, height = text.lower().partition("x")
    if not (x and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write it like 1920x1080")
    return int(width), int(height)


def _quality(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 100):
        raise argparse.ArgumentTypeError(f"{text!r} is no quality; give a number from 1 to 100")
    return int(text)
