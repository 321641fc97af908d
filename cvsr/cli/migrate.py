"""The verb ``cvsr migrate``: change scripts from cv2.dnn_superres to cvsr.dnn_superres, or show the changes."""

import argparse
import difflib
import os
import sys
from pathlib import Path

from cvsr.errors import FileError
from cvsr.io.atomic import atomic
from cvsr.migrate import Migrated, migrated

DESCRIPTION = "Change Python scripts from cv2.dnn_superres to cvsr.dnn_superres, which has the same functions."
EPILOG = """examples:
  cvsr migrate upscale.py              show the changes
  cvsr migrate --write *.py            write them

exit codes: 0 nothing to change or all written, 1 there are changes, 2 a file could not be read or written
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``cvsr migrate``."""
    parser.add_argument("scripts", nargs="+", metavar="SCRIPT", help="a Python script")
    parser.add_argument("--write", action="store_true", help="change the files instead of showing the changes")


def main(args: argparse.Namespace) -> int:
    """Run the verb; return its exit code."""
    codes = [0]
    for name in args.scripts:
        try:
            codes.append(_one(Path(name), args.write))
        except FileError as error:
            print(f"cvsr: {name}: {error}", file=sys.stderr)
            codes.append(2)
    return max(codes)


def _one(path: Path, write: bool) -> int:
    try:
        change = migrated(path.read_bytes())
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"it cannot be read: {error.strerror or error}") from error
    for line, why in change.left:
        print(f"{path}:{line}: unchanged: {why}", file=sys.stderr)
    if not change.changed:
        return 0
    if not write:
        sys.stdout.write(_difference(path, change))
        return 1
    _write(path, change.after)
    print(f"{path}: changed")
    return 0


def _difference(path: Path, change: Migrated) -> str:
    before, after = (text.decode(change.encoding).splitlines(keepends=True) for text in (change.before, change.after))
    lines = difflib.unified_diff(before, after, str(path), str(path))
    return "".join(line if line.endswith(("\n", "\r")) else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _write(path: Path, data: bytes) -> None:
    """Replace a file as a whole or not at all, with the same mode; follow links."""
    target = Path(os.path.realpath(path))
    with atomic(target) as stream:
        Path(stream.name).chmod(target.stat().st_mode & 0o7777)
        stream.write(data)
