"""Films as PyAV decodes them: their facts, and their frames with times."""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from cvsr.errors import FileError
from cvsr.image import Image
from cvsr.io.reader import turn
from cvsr.video import color, pyav
from cvsr.video.color import Color

_ORIENTATIONS = {  # (axes swapped, columns from the right, rows from the bottom): EXIF's number
    (False, False, False): 1, (False, True, False): 2, (False, True, True): 3, (False, False, True): 4,
    (True, False, False): 5, (True, True, False): 6, (True, True, True): 7, (True, False, True): 8,
}  # fmt: skip


@dataclass(frozen=True)
class FilmFacts:
    """The facts of a film's video. Times are in seconds, ``origin`` is where its clock begins."""

    size: tuple[int, int]
    time_base: Fraction
    rate: Fraction
    origin: Fraction
    duration: Fraction
    frames: int
    bits: int
    chroma: str
    color: Color
    aspect: Fraction | None
    matrix: tuple[int, ...] | None
    interlaced: bool
    alpha: bool
    mastering: bool

    @property
    def orientation(self) -> int:
        """Return how frames must be turned to be upright, as a number of EXIF."""
        if self.matrix is None:
            return 1
        a, b, _, c, d = self.matrix[:5]
        swapped = abs(b) > abs(a)
        return _ORIENTATIONS[swapped, (c if swapped else a) < 0, (b if swapped else d) < 0]


@dataclass(frozen=True)
class Shot:
    """One frame: BGR, its time and duration in units of the film's time base."""

    image: Image
    pts: int
    duration: int


class Reader:
    """Reads the main video stream of a file. ``damaged`` counts the packets that could not be decoded.

    Raise FileError if there is none, and OptionError for colors that cvsr does not convert.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.damaged = path, 0
        self._only_order = False  # whether the times in the file are those of decoding
        self._av = pyav.load()
        self.facts = self._look()

    def open(self) -> Any:
        """Return the file opened anew. Raise FileError if that fails."""
        if not self.path.exists():
            raise FileError(f"{self.path}: there is no such file; check the path")
        try:
            return self._av.open(str(self.path), metadata_errors="replace")
        except (OSError, ValueError) as error:
            why = pyav.reason(error)
            raise FileError(f"FFmpeg cannot read {self.path} ({why}): copy or download it again") from error

    def stream(self, container: Any) -> Any:
        """Return the main video stream: the first that is not a cover picture."""
        attached = getattr(getattr(self._av.stream, "Disposition", None), "attached_pic", 0)
        found = [s for s in container.streams.video if not (attached and s.disposition & attached)]
        if not found:
            raise FileError(f"{self.path} has no video: cvsr upscale enlarges single images")
        return found[0]

    def frames(
        self,
        start: Fraction | None = None,
        end: Fraction | None = None,
        *,
        after: int | None = None,
        deep: bool = False,
        upright: bool = True,
    ) -> Iterator[Shot]:
        """Yield the frames shown from ``start`` to before ``end`` (seconds from the beginning), later than ``after``.

        ``after`` is a time in units of the time base. ``deep``: uint16 instead of uint8.
        """
        facts, base = self.facts, self.facts.time_base
        first = math.ceil((facts.origin + start) / base) if start else None
        if after is not None:
            first = after + 1 if first is None else max(first, after + 1)
        last = math.ceil((facts.origin + end) / base) if end is not None else None
        converter = color.Converter(facts.color)
        for frame, pts in self._decoded(first):
            if first is not None and pts < first:
                continue
            if last is not None and pts >= last:
                return
            image = converter.to_bgr(frame, facts.size, sixteen=deep)
            yield Shot(turn(image, facts.orientation) if upright else image, pts, self._duration(frame))

    def _duration(self, frame: Any) -> int:
        return int(getattr(frame, "duration", 0) or 0) or max(1, round(1 / self.facts.rate / self.facts.time_base))

    def _decoded(self, first: int | None) -> Iterator[tuple[Any, int]]:
        """Yield frames with times that grow, beginning at or before ``first``."""
        if first is not None:
            frames = self._timed(first)
            head = next(frames, None)
            if head is not None and head[1] <= first:
                yield head
                yield from frames
                return
        yield from self._timed(None)  # in a file like this, a seek may lead anywhere

    def _timed(self, seek_to: int | None) -> Iterator[tuple[Any, int]]:
        before: int | None = None
        for frame in self._raw(seek_to):
            stated: int | None = frame.pts if frame.pts is not None and not self._only_order else frame.dts
            if stated is None and before is None and seek_to is not None:
                return
            least = 0 if before is None else before + self._duration(frame)
            pts = least if stated is None else stated
            before = pts if before is None else max(pts, before + 1)
            yield frame, before

    def _raw(self, seek_to: int | None) -> Iterator[Any]:
        with self.open() as container:
            stream = self.stream(container)
            stream.thread_type = "AUTO"
            try:
                if seek_to is not None:
                    container.seek(seek_to, stream=stream)
                for packet in container.demux(stream):
                    try:
                        yield from packet.decode()
                    except self._av.error.InvalidDataError:
                        self.damaged += 1
            except OSError as error:
                if seek_to is None:
                    raise FileError(f"{self.path} cannot be read: {pyav.reason(error)}") from error

    def _look(self) -> FilmFacts:
        with self.open() as container:
            stream = self.stream(container)
            self._only_order = container.format.name == "avi"
            base, rate = stream.time_base, Fraction(stream.average_rate or stream.guessed_rate or 25)
            origin = Fraction(max(0, container.start_time or 0), self._av.time_base)
            length = container.duration / Fraction(self._av.time_base) if container.duration else Fraction(0)
            if stream.duration:
                length = stream.duration * base
            count = stream.frames or round(length * rate)
            aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or None
        # a frame has more facts than the header
        self.facts = FilmFacts(
            (0, 0), base, rate, origin, length, count, 8, "420", Color(0, 0), aspect, None, False, False, False
        )
        frame = next(self._raw(None), None)
        if frame is None:
            raise FileError(f"{self.path}: no frame can be decoded; copy or download it again")
        return _with_frame(self.facts, frame)


def _with_frame(facts: FilmFacts, frame: Any) -> FilmFacts:
    """Return the facts with those that only a decoded frame has."""
    side = {str(data.type).rpartition(".")[2]: data for data in frame.side_data}
    matrix = bytes(side["DISPLAYMATRIX"]) if "DISPLAYMATRIX" in side else None
    format_ = frame.format
    return replace(
        facts,
        size=(frame.width, frame.height),
        bits=max(component.bits for component in format_.components),
        chroma=_chroma(format_),
        color=color.of(frame),
        matrix=struct.unpack("9i", matrix) if matrix else None,
        interlaced=bool(frame.interlaced_frame),
        alpha=format_.name.startswith(("yuva", "gbrap", "rgba", "bgra", "argb", "abgr", "ya")),
        mastering="MASTERING_DISPLAY_METADATA" in side,
    )


def _chroma(format_: Any) -> str:
    """Return how color is sampled, "420", "422" or "444"; RGB counts as 420, which is as fine once it is enlarged."""
    if format_.is_rgb or len(format_.components) < 3:
        return "420"
    wide, high = format_.chroma_width(64) == 64, format_.chroma_height(64) == 64
    return ("444" if wide else "422") if high else "420"
