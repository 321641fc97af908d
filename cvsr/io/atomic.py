"""Files that appear whole or not at all, and the temporary ones of runs that were killed."""

import errno
import os
import platform
import re
import secrets
import zlib
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from cvsr.errors import CvsrError, FileError

_TEMPORARY = re.compile(r"\.cvsr-(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-[0-9a-f]{8}\.part")
_active: set[str] = set()


@contextmanager
def atomic(path: Path) -> Generator[BinaryIO, None, None]:
    """Open a file for writing that is renamed to ``path`` when the block ends without an error, and removed otherwise.

    It is written in the same folder under a temporary name and flushed to disk before it is renamed. Raise FileError
    if that fails.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary(path.parent) as place:
            with open(place, "xb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            place.replace(path)
    except CvsrError:
        raise
    except OSError as error:
        raise FileError(f"{path} cannot be written: {_why(error)}") from error


@contextmanager
def temporary(folder: Path) -> Generator[Path, None, None]:
    """Yield a path in ``folder`` for a file that is removed at the end, or by a later run if this one is killed."""
    path = folder / f".cvsr-{_host()}-{os.getpid()}-{secrets.token_hex(4)}.part"
    _active.add(path.name)
    try:
        yield path
    finally:  # always, KeyboardInterrupt included; after renaming there is no such file
        with suppress(OSError):
            path.unlink()
        _active.discard(path.name)


def _why(error: OSError) -> str:
    what = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"out of space, quota or file size limit ({what}); free some space or write elsewhere (-o)"
    if isinstance(error, PermissionError):
        return f"{what}; choose a folder that you may write to (-o)"
    return what


def remove_leftovers(folder: Path) -> list[Path]:
    """Remove the temporary files in ``folder`` of runs on this machine that were killed, and return them."""
    removed: list[Path] = []
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            match = _TEMPORARY.fullmatch(entry.name)
            if match and match["host"] == _host() and not _in_use(entry.name, int(match["pid"])):
                with suppress(OSError):
                    Path(entry.path).unlink()
                    removed.append(Path(entry.path))
    return removed


def _host() -> str:
    return f"{zlib.crc32(platform.node().encode()):08x}"


def _in_use(name: str, pid: int) -> bool:
    if pid == os.getpid():  # in containers, every run may have the same process id
        return name in _active
    if os.name == "nt":  # files in use cannot be removed there, and os.kill would end the process
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
