"""The verb ``cvsr upscale``: enlarge image files."""

import argparse

from cvsr.cli import arguments
from cvsr.errors import install_hint

DESCRIPTION = "Enlarge images: files, folders, patterns, or - for standard input."
EPILOG = f"""examples:
  cvsr upscale photo.jpg                        writes photo_x2.jpg beside it
  cvsr upscale photo.jpg -s 4 -o large.png
  cvsr upscale scans/ -r -o results/            all images below scans/, in the same folders below results/
  cvsr upscale huge.tif -o huger.png --max-memory 512M
  curl -s https://example.org/a.png | cvsr upscale - > a_x2.png

{arguments.EXIT_CODES}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``cvsr upscale``."""
    add = parser.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="an image, a folder, a pattern such as 'img*.png', or - for stdin")
    add("-o", "--output", help="a file (for one image), a folder (several, or ends in /), or - for stdout")
    arguments.add_conversion(parser)
    add("-r", "--recursive", action="store_true", help="search the folders below the given ones too")
    add("--overwrite", action="store_true", help="replace existing results instead of skipping them")
    add(
        "--scheduler",
        metavar="ADDRESS",
        help=f"run on this dask cluster: tcp://HOST:8786 ({install_hint('dask')})",
    )


def main(args: argparse.Namespace) -> int:
    """Run ``cvsr upscale`` and return the exit code."""
    from cvsr.cli import run  # with OpenCV, which --help does not need

    return run.upscale(args)
