"""Many files: which of them are inputs, and where each result goes."""

import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cvsr.errors import OptionError
from cvsr.io import formats
from cvsr.io.formats import Format
from cvsr.options import Options

_OWN_NAME = re.compile(r"(?P<stem>.+)_(x\d+(\.\d+)?|\d+x\d+)")


@dataclass(frozen=True)
class Input:
    """One input file; ``inner`` is its folder relative to the folder that was named, for mirroring."""

    path: Path
    inner: Path = Path()


@dataclass(frozen=True)
class Job:
    """One input file and where its result goes. If there is nothing to do, ``skip`` or ``refusal`` is the reason."""

    source: Path
    target: Path
    skip: str = ""
    refusal: str = ""


def is_group(argument: str) -> bool:
    """Tell whether an input names a folder, or a pattern that the shell did not expand, rather than one file."""
    return Path(argument).is_dir() or (not os.path.lexists(argument) and glob.has_magic(argument))


def find(arguments: Iterable[str], *, recursive: bool = False, leave_out: Path | None = None) -> Iterator[Input]:
    """Yield the inputs that files, folders and patterns name, in a stable order, each once.

    A folder stands for the images in it (``recursive``: and below it), except for the results of an earlier run: names
    such as ``photo_x2.png`` beside ``photo.jpg``, and everything below ``leave_out``, the folder for results.
    """
    seen: set[str] = set()
    for argument in arguments:
        if Path(argument).is_dir():
            found = _in_folder(Path(argument), recursive, leave_out)
        elif is_group(argument):
            found = _matching(argument, recursive, leave_out)
        else:
            found = iter([Input(Path(argument))])
        for source in found:
            if (key := _key(source.path)) not in seen:
                seen.add(key)
                yield source


def _in_folder(root: Path, recursive: bool, leave_out: Path | None) -> Iterator[Input]:
    """Yield the images in a folder; hidden files are left out."""
    suffixes = formats.readable_suffixes()
    for here, folders, names in os.walk(root):
        results = [f for f in folders if leave_out is not None and _key(Path(here, f)) == _key(leave_out)]
        folders[:] = sorted(f for f in folders if recursive and not f.startswith(".") and f not in results)
        paths = sorted(Path(here, n) for n in names if not n.startswith(".") and Path(n).suffix.lower() in suffixes)
        for path in _without_own(paths):
            yield Input(path, path.parent.relative_to(root))


def _matching(pattern: str, recursive: bool, leave_out: Path | None) -> Iterator[Input]:
    paths = [Path(found) for found in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207 - Path.glob takes no absolute pattern
    for path in _without_own([path for path in paths if path.is_file()]):
        yield Input(path)
    for path in paths:
        if recursive and path.is_dir():
            yield from (replace(s, inner=path.name / s.inner) for s in _in_folder(path, True, leave_out))


def _without_own(paths: Sequence[Path]) -> list[Path]:
    stems = {path.with_suffix("") for path in paths}
    own = {path for path in paths if (m := _OWN_NAME.fullmatch(path.stem)) and path.with_name(m["stem"]) in stems}
    return [path for path in paths if path not in own]


def plan(
    sources: Iterable[Input],
    options: Options,
    *,
    output: Path | None = None,
    into_folder: bool = True,
    overwrite: bool = False,
) -> list[Job]:
    """Return the jobs for ``sources``; nothing is read or written yet.

    A result is named after its input: stem, the options' ``tag`` ("_x2"), and the suffix of their format, or of the
    input if that can be written. It goes beside its input, or mirrored into the folder ``output``, or
    (``into_folder=False``) to ``output`` itself.
    An input is never a target, an existing file only with ``overwrite``, and no two jobs have the same target.
    """
    jobs: list[Job] = []
    for source in sources:
        suffix = (
            f".{options.format.lower().lstrip('.')}" if options.format else formats.result_suffix(source.path.suffix)
        )
        name = source.path.stem + options.tag + suffix
        if output is None:
            target = source.path.with_name(name)
        else:
            target = output / source.inner / name if into_folder else output
        jobs.append(Job(source.path, target))
    inputs = {_key(job.source) for job in jobs}
    makers: dict[str, Path] = {}
    for job in jobs:
        makers.setdefault(_key(job.target), job.source)
    return [_judge(job, inputs, makers, overwrite) for job in jobs]


def check_target(target: Path, forced: Format | None) -> None:
    """Raise OptionError unless the name of a result fits the format that was asked for, or names one itself."""
    named = formats.format_of(target.suffix)
    if forced and named and forced is not named:
        raise OptionError(f"the name {target} and the format {forced.name} contradict each other")
    if not (forced or named):
        raise OptionError(
            f"{target}: the suffix {target.suffix!r} names no format that can be written "
            f"({', '.join(formats.names())}); if it is a folder, add a / at the end"
        )


def _judge(job: Job, inputs: set[str], makers: dict[str, Path], overwrite: bool) -> Job:
    source, target = _key(job.source), _key(job.target)
    maker = makers.get(source)
    if source == target:
        return replace(job, refusal="the result would overwrite its own input; give it another name")
    if makers[target] != job.source:
        other = f"{makers[target]} ({job.target})"
        return replace(job, refusal=f"its result would have the same name as the result of {other}")
    if maker is not None and not overwrite:
        return replace(job, skip=f"it is the result of {maker}")
    if target in inputs and overwrite:
        return replace(job, refusal=f"the result would overwrite {job.target}, another input; give a folder with -o")
    if os.path.lexists(job.target) and not overwrite:
        return replace(job, skip=f"{job.target} exists already")
    return job


def _key(path: Path) -> str:
    return os.path.normcase(os.path.realpath(path))


PIPE = Path("-")
"""Stands for standard input as a source and for standard output as a target."""
