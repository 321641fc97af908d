"""The verb ``cvsr compare``: a page that compares the results of several models, or a plot for a paper."""

import argparse
import io
import os
import sys
from pathlib import Path

from cvsr.compare import comparison
from cvsr.compare.comparison import Comparison
from cvsr.compare.page import megabytes, page
from cvsr.errors import FileError, OptionError, install_hint
from cvsr.image import Image
from cvsr.io import atomic, reader

DESCRIPTION = "Enlarge an image with several models, and write a page that compares the results."
EPILOG = f"""examples:
  cvsr compare photo.jpg                                    photo_compare.html, with all models for x2
  cvsr compare small.png --reference large.png -s 4         with PSNR and SSIM
  cvsr compare --reference photo.png -m cvsr-small mine_x2.onnx -o mine.html
                                                            shrink the photo, then enlarge it again
  cvsr compare --reference photo.png --plot figure.pdf      crops in a row, with matplotlib:
                                                            {install_hint("plot")}
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``cvsr compare``."""
    add = parser.add_argument
    add("image", nargs="?", type=Path, metavar="IMAGE", help="the image to enlarge; default: the reference, shrunk")
    add("-m", "--models", nargs="+", default=[], metavar="MODEL", help="names or files; default: all for that scale")
    add("-s", "--scale", type=float, default=2, help="factor; default 2")
    add("--reference", type=Path, metavar="FILE", help="the original of IMAGE, to measure the results against")
    add("-d", "--device", default="auto", help="auto, cpu, cuda, opencl, … (see cvsr doctor); default auto")
    add("-o", "--output", type=Path, metavar="PAGE", help="default: IMAGE_compare.html, unless --plot is given")
    add("--plot", type=Path, metavar="FILE", help="also a plot of crops: .png, .pdf or .svg")
    add("--overwrite", action="store_true", help="replace existing files")


def main(args: argparse.Namespace) -> int:
    """Run ``cvsr compare`` on parsed arguments and return the exit code; raise what went wrong."""
    source: Path | None = args.image or args.reference
    if source is None:
        raise OptionError("nothing to compare: give an image, or --reference with one to shrink")
    output: Path | None = args.output
    if output is None and args.plot is None:
        output = source.with_name(f"{source.stem}_compare.html")
    targets = [path for path in (output, args.plot) if path is not None]
    _check_targets(targets, [path for path in (args.image, args.reference) if path is not None], args.overwrite)
    if args.plot is not None:
        _plot_format(args.plot)
    made = comparison.compare(
        _read(args.image), args.models, args.scale,
        reference=_read(args.reference), device=args.device, title=source.name,
    )  # fmt: skip
    for note in made.notes:
        print(f"cvsr: {note}", file=sys.stderr)
    if output is not None:
        _write(output, page(made).encode())
    if args.plot is not None:
        _write(args.plot, _plot(made, args.plot))
    return 0


def _read(path: Path | None) -> Image | None:
    return None if path is None else reader.read(path).image


def _check_targets(targets: list[Path], sources: list[Path], overwrite: bool) -> None:
    """Raise what is wrong with the names of files, before minutes of work."""
    inputs = {os.path.realpath(path) for path in sources}
    for path in targets:
        if os.path.realpath(path) in inputs:
            raise FileError(f"{path} is an input and would be overwritten: give another name")
        if os.path.lexists(path) and not overwrite:
            raise FileError(f"{path} exists already: give another name with -o, or --overwrite")
    if len({os.path.realpath(path) for path in targets}) < len(targets):
        raise OptionError("-o and --plot name the same file")


def _plot_format(path: Path) -> str:
    kind = path.suffix.lower().lstrip(".")
    if kind not in ("png", "pdf", "svg"):
        raise OptionError(f"--plot {path}: plots are written as .png, .pdf or .svg")
    return kind


def _plot(made: Comparison, path: Path) -> bytes:
    from cvsr.compare import plot

    stream = io.BytesIO()
    plot.figure(made).savefig(stream, format=_plot_format(path))
    return stream.getvalue()


def _write(path: Path, data: bytes) -> None:
    with atomic.atomic(path) as stream:
        stream.write(data)
    print(f"{path}: {megabytes(len(data))}")
