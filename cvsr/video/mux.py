"""The finished film: the parts' video as it is, and everything else of the source, copied."""

import heapq
import io
import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

from cvsr.errors import OptionError
from cvsr.io import atomic
from cvsr.video import pyav
from cvsr.video.encoder import PART_FORMAT, Settings, container_for
from cvsr.video.parts import Parts
from cvsr.video.reader import Reader

_TECHNICAL = frozenset(  # facts of the container itself, which its writer sets anew
    ("encoder", "major_brand", "minor_version", "compatible_brands", "rotate", "duration", "bps", "number_of_frames")
)
_Timed = tuple[Fraction, int, Any]


@dataclass(frozen=True)
class Clip:
    """The section of the source to show: from ``start`` (seconds on its clock) to ``end`` (None: to the end)."""

    start: Fraction
    end: Fraction | None
    whole: bool


def kept(reader: Reader, target: Path, note: Callable[[str], object]) -> list[int]:
    """Return the numbers of the other streams that the target can hold; ``note`` is called for those that it cannot.

    Raise OptionError if it cannot hold the sound.
    """
    found: list[int] = []
    with reader.open() as source:
        video = reader.stream(source)
        for stream in source.streams:
            if stream.index == video.index:
                continue
            name = getattr(stream, "name", None) or "unknown"
            if stream.type in ("audio", "subtitle", "attachment") and _fits(stream, container_for(target).format):
                found.append(stream.index)
            elif stream.type == "audio":
                raise OptionError(f"{target.suffix} files cannot contain the {name} audio of {reader.path}: use .mkv")
            elif "timecode" not in stream.metadata:  # which the result gets from the metadata
                note(f"dropped, because {target.suffix} cannot contain it: stream {stream.index}, {stream.type} {name}")
    return found


def _fits(stream: Any, format: str) -> bool:
    try:
        with pyav.load().open(io.BytesIO(), "w", format=format) as trial:
            trial.add_stream_from_template(stream)
            trial.start_encoding()
    except (OSError, ValueError):
        return False
    return True


def join(reader: Reader, parts: Parts, settings: Settings, target: Path, others: list[int], span: Clip) -> None:
    """Write ``target`` from the parts and the source's streams ``others``. Raise FileError if that fails."""
    av = pyav.load()
    with atomic.atomic(target) as file:
        try:
            _write(file, reader, parts, settings, container_for(target).format, others, span)
        except av.error.FFmpegError as error:
            raise OSError(error.errno, pyav.reason(error)) from error


def _write(
    file: BinaryIO, reader: Reader, parts: Parts, settings: Settings, format: str, others: list[int], span: Clip
) -> None:
    av = pyav.load()
    with (
        reader.open() as source,
        av.open(str(parts.path(parts.records[0])), format=PART_FORMAT) as first,
        av.open(file, "w", format=format) as result,
    ):
        _copy_metadata(source, result, span)
        video = _video_stream(result, first.streams.video[0], reader, source, settings)
        pairs = {index: _other_stream(result, source.streams[index]) for index in others}
        timed = heapq.merge(
            _video_packets(parts, video, settings.time_base, span),
            _other_packets(source, pairs, span),
            key=lambda item: item[:2],
        )
        for _, _, packet in timed:
            result.mux(packet)


def keeps_rotation() -> bool:
    """Tell whether this PyAV can write the rotation of a film."""
    return hasattr(pyav.load().VideoStream, "set_display_matrix")


def _video_stream(result: Any, template: Any, reader: Reader, source: Any, settings: Settings) -> Any:
    made = result.add_stream_from_template(template, opaque=True)
    settings.tag(made.codec_context)
    made.codec_context.framerate = settings.rate
    made.time_base = settings.time_base
    if settings.encoder == "libx265" and result.format.name in ("mp4", "mov"):
        made.codec_context.codec_tag = "hvc1"  # what Apple's players want
    if reader.facts.matrix and keeps_rotation():
        made.set_display_matrix(reader.facts.matrix)
    _describe(made, reader.stream(source))
    return made


def _other_stream(result: Any, stream: Any) -> Any:
    made = result.add_stream_from_template(stream)
    _describe(made, stream)
    return made


def _describe(made: Any, stream: Any) -> None:
    made.metadata.update(_without_technical(stream.metadata))
    with suppress(AttributeError):  # older versions of PyAV cannot set it
        made.disposition = stream.disposition.value


def _copy_metadata(source: Any, result: Any, span: Clip) -> None:
    result.metadata.update(_without_technical(source.metadata))
    if span.whole and hasattr(result, "set_chapters") and source.chapters():
        result.set_chapters(source.chapters())


def _without_technical(metadata: dict[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in metadata.items()
        if name.lower() not in _TECHNICAL and not name.startswith("_STATISTICS")
    }


def decoding_times(pts: list[int]) -> list[int]:
    """Return the times to decode packets at whose times of showing are ``pts``, in the order of the file.

    They must grow and be no later than those of showing: the sorted times, moved back by as many packets as any comes
    before its turn.
    """
    shown = sorted(pts)
    rank = {time: i for i, time in enumerate(shown)}
    delay = max((i - rank[time] for i, time in enumerate(pts)), default=0)
    step = shown[1] - shown[0] if len(shown) > 1 else 1
    return [shown[0] - step * (delay - i) for i in range(delay)] + shown[: len(shown) - delay]


def _video_packets(parts: Parts, stream: Any, base: Fraction, span: Clip) -> Iterator[_Timed]:
    all_pts = [time for record in parts.records for time in record.pts]
    shown = sorted(all_pts)
    until = dict(itertools.pairwise([*shown, parts.records[-1].end]))
    zero = round(span.start / base)
    times = zip(all_pts, decoding_times(all_pts), strict=True)
    for record in parts.records:
        with pyav.load().open(str(parts.path(record)), format=PART_FORMAT) as part:
            for packet in part.demux(part.streams.video[0]):
                if not packet.size:  # the end
                    continue
                pts, dts = next(times)
                packet.time_base = base
                packet.pts, packet.dts, packet.duration = pts - zero, dts - zero, until[pts] - pts
                packet.stream = stream
                yield packet.dts * base, 0, packet


def _other_packets(source: Any, pairs: dict[int, Any], span: Clip) -> Iterator[_Timed]:
    streams = [source.streams[index] for index in pairs]
    latest = Fraction(0)
    for packet in source.demux(streams) if streams else ():
        time = packet.pts if packet.pts is not None else packet.dts
        if time is None or not packet.size:
            continue
        base = packet.time_base
        early = not span.whole and time * base < span.start
        if early or (span.end is not None and time * base >= span.end):
            continue
        zero = round(span.start / base)
        if packet.pts is not None:
            packet.pts -= zero
        if packet.dts is not None:
            packet.dts -= zero
        packet.stream = pairs[packet.stream_index]
        latest = max(latest, (time - zero) * base)  # of several streams: the merge needs increasing times
        yield latest, 1, packet
