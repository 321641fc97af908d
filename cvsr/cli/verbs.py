"""The command line, ``cvsr VERB``: the table of verbs, and how one is run.

A verb is a module with ``DESCRIPTION``, ``EPILOG``, ``add_arguments(parser)`` and ``main(args)``, which returns the
exit code. It is loaded only when it runs, because it may load OpenCV. Other packages add verbs by entry points of the
group "cvsr.verbs": the name of the verb, and its module.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cvsr import __version__
from cvsr.cli.arguments import EXIT_CODES
from cvsr.errors import Cancelled, CvsrError, DeviceError, ModelError, OpenCVError, OptionError, install_hint

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

VERBS = {
    "upscale": "enlarge images",
    "models": "list the models",
    "doctor": "check this machine",
    "bench": "time models on this machine, beside other runtimes",
    "compare": "make a page that compares models on an image",
    "eval": "measure models on test images",
    "frames": "enlarge raw frames from standard input to standard output",
    "migrate": "move scripts from cv2.dnn_superres to cvsr",
    "serve": "serve a web page and an HTTP interface that enlarge images",
    "tune": "find the fastest tiles for a model on this machine, and save them",
    "video": "enlarge films",
    "watch": "enlarge the images that arrive in a folder",
    "convert": "turn a trained model into a file that every OpenCV runs",
}
"""The verbs, in the order of ``cvsr --help``. Their modules are ``cvsr.cli.NAME``, but for those of ``_MODULES``."""

_MODULES = {"eval": "cvsr.cli.evaluate"}
_GROUP = "cvsr.verbs"
_PACKAGES = {"convert": "convert"}  # verbs of entry points that have a summary above, and the extra that brings them


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line on ``argv`` (default: the process's) and return the exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    # cvsr reports broken files and missing devices itself, once; must be set before cv2 is imported
    os.environ.setdefault("OPENCV_LOG_LEVEL", "FATAL")
    try:
        args = _parser(argv[0] if argv else "").parse_args(argv)
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
        # the reader of the output is gone (`cvsr models | head`); Python would complain again when it flushes
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _complain(error: Exception, code: int) -> int:
    print(f"cvsr: {error}", file=sys.stderr)
    return code


def _parser(verb: str) -> argparse.ArgumentParser:
    """Return the parser of the command line, with the arguments of ``verb``, if it is one."""
    parser = argparse.ArgumentParser("cvsr", description="Super-resolution on OpenCV alone.", epilog=EXIT_CODES)
    parser.add_argument("--version", action="version", version=f"cvsr {__version__}")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    # importing what reads entry points takes twice as long as all the rest: only if they matter
    outside = {} if verb in VERBS and verb not in _PACKAGES else _entry_points()
    origins = {name: found.dist.name if found.dist else found.value for name, found in outside.items()}
    summaries = VERBS | {name: f"(from {origin})" for name, origin in origins.items() if name not in VERBS}
    for name, summary in summaries.items():
        if name != verb:
            verbs.add_parser(name, help=summary)
            continue
        module = _module(name, outside)
        added = verbs.add_parser(
            name,
            help=summary,
            description=module.DESCRIPTION,
            epilog=module.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(added)
        added.set_defaults(run=module.main)
    return parser


def _entry_points() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    return {found.name: found for found in entry_points(group=_GROUP)}


def _module(verb: str, outside: dict[str, EntryPoint]) -> Any:
    """Return the module of a verb. Raise OptionError if the package that it comes with is not installed."""
    if verb in outside:
        return outside[verb].load()
    if verb in _PACKAGES:
        raise OptionError(f"cvsr {verb} comes with the installed package: {install_hint(_PACKAGES[verb])}")
    return importlib.import_module(_MODULES.get(verb, f"cvsr.cli.{verb}"))
