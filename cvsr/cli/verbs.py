"""The command line, ``cvsr VERB``. Verbs load OpenCV when they run, not before."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Sequence

from cvsr import __version__
from cvsr.cli.options import add_conversion
from cvsr.errors import Cancelled, CvsrError, DeviceError, ModelError, OpenCVError, OptionError

EXIT_CODES = (
    "exit codes: 0 all went well, 1 some files failed, 2 wrong usage, 3 OpenCV or the device is missing or broken"
)

_UPSCALE_EXAMPLES = """examples:
  cvsr upscale photo.jpg                        writes photo_x2.jpg beside it
  cvsr upscale photo.jpg -s 4 -o large.png
  cvsr upscale scans/ -r -o results/            all images below scans/, the same folders below results/
  cvsr upscale huge.tif -o huger.png --max-memory 512M
  curl -s https://example.org/a.png | cvsr upscale - > a_x2.png
"""


_VERBS = {  # the module of each, with add_arguments(parser) and main(args) -> exit code
    "bench": ("cvsr.cli.bench", "time models on this machine, beside other runtimes"),
    "compare": ("cvsr.cli.compare", "make a page that compares models on an image"),
    "eval": ("cvsr.cli.evaluate", "measure models on test images"),
    "frames": ("cvsr.cli.frames", "enlarge raw frames from standard input to standard output"),
    "migrate": ("cvsr.cli.migrate", "move scripts from cv2.dnn_superres to cvsr"),
    "serve": ("cvsr.cli.serve", "serve a page to enlarge images on, and an interface for programs"),
    "tune": ("cvsr.cli.tune", "measure what suits a model on this machine, and remember it"),
    "video": ("cvsr.cli.video", "enlarge films"),
    "watch": ("cvsr.cli.watch", "enlarge what comes into a folder"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line on ``argv`` (the process's where None) and return the exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    # what OpenCV logs about a broken file or a missing device is said by cvsr, once; must be set before cv2 is imported
    os.environ.setdefault("OPENCV_LOG_LEVEL", "FATAL")
    try:
        parser = _parser(argv[0] if argv else "")
        args = parser.parse_args(argv)
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except (OpenCVError, DeviceError) as error:
        return _complain(error, 3)
    except (OptionError, ModelError) as error:
        return _complain(error, 2)
    except (CvsrError, Cancelled) as error:
        return _complain(error, 1)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # the reader of our output has left (`cvsr models | head`); Python would complain once more when it flushes
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _complain(error: Exception, code: int) -> int:
    print(f"cvsr: {error}", file=sys.stderr)
    return code


def _parser(verb: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("cvsr", description="Super-resolution on OpenCV alone.", epilog=EXIT_CODES)
    parser.add_argument("--version", action="version", version=f"cvsr {__version__}")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_upscale(verbs)
    models = verbs.add_parser("models", help="list the models", description="List the models that come with cvsr.")
    models.add_argument("--json", action="store_true", help="print JSON instead of a table")
    models.set_defaults(run=_models)
    doctor = verbs.add_parser(
        "doctor", help="check this machine", description="Check OpenCV, its devices and the models on this machine."
    )
    doctor.add_argument("--json", action="store_true", help="print JSON instead of text")
    doctor.set_defaults(run=_doctor)
    for name, (home, summary) in _VERBS.items():
        found = verbs.add_parser(name, help=summary)
        if verb == name:  # it comes with OpenCV, which the other verbs, --help and --version should not wait for
            module = importlib.import_module(home)
            module.add_arguments(found)
            found.set_defaults(run=module.main)
    _add_convert(verbs, verb == "convert")
    return parser


def _add_upscale(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:  # pyright: ignore[reportPrivateUsage]
    parser = verbs.add_parser(
        "upscale",
        help="enlarge images",
        description="Enlarge images: files, folders, patterns, or - for standard input.",
        epilog=_UPSCALE_EXAMPLES + "\n" + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="an image, a folder, a pattern such as 'img*.png', or - for stdin")
    add("-o", "--output", help="a file (for one image), a folder (several, or ends in /), or - for stdout")
    add_conversion(parser)
    add("-r", "--recursive", action="store_true", help="go into the folders below the given ones too")
    add("--overwrite", action="store_true", help="replace results that are there already, instead of skipping them")
    add("--scheduler", metavar="ADDRESS", help="let this dask cluster do it: tcp://HOST:8786 (needs cvsr[dask])")
    parser.set_defaults(run=_upscale)


def _add_convert(verbs: argparse._SubParsersAction[argparse.ArgumentParser], now: bool) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add the verb of the converters, which the runtime does not know: it is the entry point of another package."""
    summary = "turn a trained model into a file that every OpenCV runs"
    if not now:
        verbs.add_parser("convert", help=summary)
        return
    from importlib.metadata import entry_points  # twice as slow to import as all the rest

    found = list(entry_points(group="cvsr.verbs", name="convert"))
    if not found:
        raise OptionError("cvsr convert comes with the installed package: pip install 'cvsr[convert]'")
    converter = found[0].load()
    parser = verbs.add_parser(
        "convert",
        help=summary,
        description=converter.DESCRIPTION,
        epilog=converter.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    converter.add_arguments(parser)
    parser.set_defaults(run=converter.main)


def _upscale(args: argparse.Namespace) -> int:
    from cvsr.cli import upscale

    return upscale.main(args)


def _models(args: argparse.Namespace) -> int:
    from cvsr.cli import models as cli_models

    print(cli_models.as_json() if args.json else cli_models.table())
    return 0


def _doctor(args: argparse.Namespace) -> int:
    from cvsr import doctor

    report = doctor.report()
    print(json.dumps(report.to_json(), indent=2) if args.json else report)
    return 0 if report.ok else 3
