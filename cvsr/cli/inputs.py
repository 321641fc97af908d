"""What the arguments of ``cvsr upscale`` ask for: which files, and where their results go."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from cvsr.batch import jobs
from cvsr.batch.jobs import PIPE, Job
from cvsr.errors import FileError, OptionError
from cvsr.io import formats
from cvsr.io.formats import Format


def plan(args: argparse.Namespace, forced: Format | None) -> list[Job]:
    """Return what is to be done. Raise OptionError where inputs and output do not go together."""
    inputs: list[str] = args.inputs
    if "-" in inputs or args.output == "-":
        return _pipe_jobs(args, forced)
    output = Path(args.output) if args.output else None
    several = len(inputs) > 1 or any(map(jobs.is_group, inputs))
    into_folder = several or (output is not None and (args.output.endswith(("/", os.sep)) or output.is_dir()))
    if output and several and output.is_file():
        raise OptionError(f"{output} is a file, and the inputs may be several: name a folder with -o")
    if output and not into_folder:
        _check_target(output, forced)
    sources = list(jobs.find(inputs, recursive=args.recursive, leave_out=output if into_folder else None))
    if not sources:
        raise FileError(f"no images found in {', '.join(inputs)}" + ("" if args.recursive else " (-r looks deeper)"))
    return jobs.plan(sources, **naming(args), output=output, into_folder=into_folder, overwrite=args.overwrite)


def naming(args: argparse.Namespace) -> dict[str, Any]:
    """Return how results are named after their inputs, as arguments of :func:`cvsr.batch.jobs.plan`."""
    tag = f"_{args.size[0]}x{args.size[1]}" if args.size else f"_x{args.scale or 2:g}"
    return {"tag": tag, "suffix_for": partial(_suffix_for, args.format)}


def _pipe_jobs(args: argparse.Namespace, forced: Format | None) -> list[Job]:
    output = args.output or "-"
    if len(args.inputs) > 1 or jobs.is_group(args.inputs[0]):
        raise OptionError("- stands for one image: give one input and one output")
    if output == "-":
        if sys.stdout.isatty():
            raise OptionError("the image would go to the terminal: send standard output to a file, or name one with -o")
        return [Job(Path(args.inputs[0]), PIPE)]
    if output.endswith(("/", os.sep)) or Path(output).is_dir():
        raise OptionError(f"an image from standard input has no name: give a file with -o, not the folder {output}")
    _check_target(Path(output), forced)
    sources = [jobs.Source(PIPE)]
    return jobs.plan(sources, "", suffix_for=str, output=Path(output), into_folder=False, overwrite=args.overwrite)


def _suffix_for(format: str | None, suffix: str) -> str:
    return f".{format.lower().lstrip('.')}" if format else formats.result_suffix(suffix)


def _check_target(target: Path, forced: Format | None) -> None:
    named = formats.format_of(target.suffix)
    if forced and named and forced is not named:
        raise OptionError(f"-o {target} and --format {forced.name} contradict each other")
    if not (forced or named):
        raise OptionError(
            f"-o {target}: the suffix {target.suffix!r} names no format (there are {', '.join(formats.names())}); "
            "to mean a folder, end it in /"
        )
