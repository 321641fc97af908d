"""Many files: which of them are inputs, where each result goes, and how it gets there whole or not at all."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cvsr.io import formats

_OWN_NAME = re.compile(r"(?P<stem>.+)_(x\d+(\.\d+)?|\d+x\d+)")


@dataclass(frozen=True)
class Source:
    """One input file; ``inner`` is its folder as seen from the folder that was named, for mirroring."""

    path: Path
    inner: Path = Path()


@dataclass(frozen=True)
class Job:
    """One input file and where its result goes. ``skip`` or ``refusal`` say why there is nothing to do."""

    source: Path
    target: Path
    skip: str = ""
    refusal: str = ""


def is_group(argument: str) -> bool:
    """Tell whether an input names a folder, or a pattern that the shell left to us, rather than one file."""
    return Path(argument).is_dir() or (not os.path.lexists(argument) and glob.has_magic(argument))


def find(arguments: Iterable[str], *, recursive: bool = False, leave_out: Path | None = None) -> Iterator[Source]:
    """Yield the inputs that files, folders and patterns name, in a stable order, each once.

    A folder gives the images in it (``recursive``: and below it), but not what an earlier run made of them: names such
    as ``photo_x2.png`` beside ``photo.jpg``, and nothing below ``leave_out``, the folder that results go to.
    """
    seen: set[str] = set()
    for argument in arguments:
        if Path(argument).is_dir():
            found = _in_folder(Path(argument), recursive, leave_out)
        elif is_group(argument):
            found = _matching(argument, recursive, leave_out)
        else:
            found = iter([Source(Path(argument))])
        for source in found:
            if (key := _key(source.path)) not in seen:
                seen.add(key)
                yield source


def _in_folder(root: Path, recursive: bool, leave_out: Path | None) -> Iterator[Source]:
    """Yield the images in a folder; hidden files are left out."""
    suffixes = formats.readable_suffixes()
    for here, folders, names in os.walk(root):
        results = [f for f in folders if leave_out is not None and _key(Path(here, f)) == _key(leave_out)]
        folders[:] = sorted(f for f in folders if recursive and not f.startswith(".") and f not in results)
        paths = sorted(Path(here, n) for n in names if not n.startswith(".") and Path(n).suffix.lower() in suffixes)
        for path in _without_own(paths):
            yield Source(path, path.parent.relative_to(root))


def _matching(pattern: str, recursive: bool, leave_out: Path | None) -> Iterator[Source]:
    paths = [Path(found) for found in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207 - Path.glob takes no absolute pattern
    for path in _without_own([path for path in paths if path.is_file()]):
        yield Source(path)
    for path in paths:
        if recursive and path.is_dir():
            yield from (replace(s, inner=path.name / s.inner) for s in _in_folder(path, True, leave_out))


def _without_own(paths: Sequence[Path]) -> list[Path]:
    stems = {path.with_suffix("") for path in paths}
    own = {path for path in paths if (m := _OWN_NAME.fullmatch(path.stem)) and path.with_name(m["stem"]) in stems}
    return [path for path in paths if path not in own]


def plan(
    sources: Iterable[Source],
    tag: str,
    *,
    suffix_for: Callable[[str], str],
    output: Path | None = None,
    into_folder: bool = True,
    overwrite: bool = False,
) -> list[Job]:
    """Return the jobs for ``sources``; nothing is read or written yet.

    A result is named after its input: stem, ``tag`` ("_x2"), and the suffix that ``suffix_for`` makes of the
    input's. It goes beside its input, or mirrored into the folder ``output``, or (``into_folder=False``) to
    ``output`` itself.
    An input is never a target, an existing file only with ``overwrite``, and no two jobs have the same target.
    """
    jobs: list[Job] = []
    for source in sources:
        name = source.path.stem + tag + suffix_for(source.path.suffix)
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


def _judge(job: Job, inputs: set[str], makers: dict[str, Path], overwrite: bool) -> Job:
    source, target = _key(job.source), _key(job.target)
    maker = makers.get(source)
    if source == target:
        return replace(job, refusal="the result would overwrite its own input; give another name with -o")
    if makers[target] != job.source:
        return replace(job, refusal=f"its result would have the same name as that of {makers[target]} ({job.target})")
    if maker is not None and not overwrite:
        return replace(job, skip=f"it is the result of {maker}")
    if target in inputs and overwrite:
        return replace(job, refusal=f"the result would overwrite {job.target}, an input too; give a folder with -o")
    if os.path.lexists(job.target) and not overwrite:
        return replace(job, skip=f"{job.target} is there already")
    return job


def _key(path: Path) -> str:
    return os.path.normcase(os.path.realpath(path))


PIPE = Path("-")
"""Stands for standard input as a source and for standard output as a target."""
