"""The finished parts of a film, kept in a folder beside the result until it is complete.

A part is a file of video alone, renamed once it is complete, and a line in ``parts.jsonl`` with the exact times of its
packets. The first line is the plan that the parts were made with: only a run with the same plan may continue.
"""

import itertools
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cvsr.errors import FileError, OptionError
from cvsr.io import atomic
from cvsr.video.encoder import PartWriter, Settings
from cvsr.video.reader import Shot

LENGTH = 120  # frames; encoders insert key frames about as often


@dataclass(frozen=True)
class Record:
    """A part: its file, the times of its packets in their order in the file, and when it ends."""

    name: str
    pts: list[int]
    end: int


class Parts:
    """The folder of a film's parts."""

    def __init__(self, target: Path) -> None:
        self.folder = target.with_name(target.name + ".parts")
        self._index = self.folder / "parts.jsonl"
        self.records: list[Record] = []

    def begin(self, plan: Mapping[str, str], *, resume: bool, overwrite: bool) -> None:
        """Create the folder, or continue with what is in it. Raise OptionError if it was made with another plan."""
        if self.folder.exists() and not resume and (overwrite or len(self._lines()) < 2):
            self.remove()
        if self.folder.exists() and not resume:
            raise FileError(
                f"{self.folder} has parts of an earlier run: --resume continues with them, --overwrite discards them"
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            atomic.remove_leftovers(self.folder)
            lines = self._lines()
            if lines:
                self._take(lines, plan)
            else:
                self._index.write_text(json.dumps(dict(plan)) + "\n", encoding="utf-8")
        except OSError as error:
            raise error if isinstance(error, FileError) else _failed(self.folder, error) from error

    def _lines(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        if self._index.is_file():
            for line in self._index.read_text(encoding="utf-8").splitlines():
                try:
                    found.append(json.loads(line))
                except ValueError:  # cut short when the run was killed: nothing was written after it
                    break
        return found

    def _take(self, lines: list[dict[str, Any]], plan: Mapping[str, str]) -> None:
        old, *records = lines
        changed = [f"{name} was {old.get(name)!r}, now {plan[name]!r}" for name in plan if old.get(name) != plan[name]]
        if changed:
            raise OptionError(
                f"the parts in {self.folder} have other settings ({'; '.join(changed)}): --overwrite discards them"
            )
        self.records = [Record(**record) for record in records if (self.folder / record["name"]).is_file()]
        # a cut line must not have the next one appended to it
        text = [dict(plan), *map(asdict, self.records)]
        with atomic.atomic(self._index) as stream:
            stream.write("".join(json.dumps(line) + "\n" for line in text).encode())

    @property
    def last(self) -> int | None:
        """Return the time of the last frame that is done."""
        return max(self.records[-1].pts) if self.records else None

    @property
    def done(self) -> int:
        """Return how many frames are done."""
        return sum(len(record.pts) for record in self.records)

    def path(self, record: Record) -> Path:
        """Return the file of a part."""
        return self.folder / record.name

    def write(self, shots: Iterable[Shot], settings: Settings) -> None:
        """Encode frames into parts. If ``shots`` end within one, it is a shorter part."""
        shots = iter(shots)
        for first in shots:
            self._write_one(itertools.chain([first], itertools.islice(shots, LENGTH - 1)), settings)

    def _write_one(self, shots: Iterator[Shot], settings: Settings) -> None:
        name = f"{len(self.records):06d}.part"
        with atomic.atomic(self.folder / name) as stream:
            part = PartWriter(stream, settings)
            for shot in shots:
                part.write(shot)
            part.close()
        record = Record(name, part.pts, part.end)
        try:
            with open(self._index, "a", encoding="utf-8") as index:
                index.write(json.dumps(asdict(record)) + "\n")
                index.flush()
                os.fsync(index.fileno())
        except OSError as error:
            raise _failed(self._index, error) from error
        self.records.append(record)

    def remove(self) -> None:
        """Remove the folder."""
        try:
            shutil.rmtree(self.folder)
        except OSError as error:
            raise _failed(self.folder, error) from error


def _failed(path: Path, error: OSError) -> FileError:
    return FileError(f"{path} cannot be written: {error.strerror or error}")
