"""Encoders: the default of each container, their settings, and one part of a film written with them."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

from cvsr.errors import FileError, OptionError
from cvsr.video import pyav
from cvsr.video.color import Color, Converter
from cvsr.video.reader import FilmFacts, Shot

PART_FORMAT = "nut"  # takes every codec


@dataclass(frozen=True)
class Container:
    """A kind of file, by FFmpeg's name, and its default encoders."""

    format: str
    encoder: str
    deep: str


CONTAINERS = {
    ".mp4": Container("mp4", "libx264", "libx265"),
    ".m4v": Container("mp4", "libx264", "libx265"),
    ".mov": Container("mov", "libx264", "libx265"),
    ".mkv": Container("matroska", "libx264", "libx265"),
    ".webm": Container("webm", "libvpx-vp9", "libvpx-vp9"),
}


@dataclass(frozen=True)
class Recipe:
    """The settings of an encoder: the usual ``crf`` (None: it has none), its options, and the ``worst`` crf.

    The faster presets: the network needs the processor more, and enlarged pictures have little fine detail.
    """

    crf: float | None = None
    options: dict[str, str] = field(default_factory=dict[str, str])
    worst: int = 63


_FINE = {"flags": "+qscale", "global_quality": str(3 * 118)}  # FF_QP2LAMBDA; they aim at few bits otherwise
RECIPES = {
    "libx264": Recipe(18, {"preset": "veryfast", "x264-params": "subme=1"}, 51),  # a third less work for 7 % more bytes
    "libx265": Recipe(20, {"preset": "veryfast", "x265-params": "log-level=error"}, 51),
    "libsvtav1": Recipe(25, {"preset": "9"}),
    "libvpx-vp9": Recipe(24, {"deadline": "good", "cpu-used": "5", "row-mt": "1"}),
    "mpeg4": Recipe(None, _FINE),
    "mjpeg": Recipe(None, _FINE),
    "mpeg2video": Recipe(None, _FINE),
}


@dataclass(frozen=True)
class Settings:
    """All settings of an encoder, the same for every part of a film."""

    encoder: str
    options: dict[str, str]
    pix_fmt: str
    deep: bool
    size: tuple[int, int]
    rate: Fraction
    time_base: Fraction
    color: Color
    aspect: Fraction | None

    def tag(self, context: Any) -> None:
        """Write the colors and the pixel aspect ratio into a codec context."""
        context.color_range, context.colorspace = self.color.range, self.color.matrix
        context.color_primaries, context.color_trc = self.color.primaries, self.color.transfer
        if self.aspect:
            context.sample_aspect_ratio = self.aspect


def container_for(target: Path) -> Container:
    """Return the kind of file that a name stands for. Raise OptionError if none of them does."""
    found = CONTAINERS.get(target.suffix.lower())
    if found is None:
        raise OptionError(f"{target}: unknown suffix for a film; use {', '.join(CONTAINERS)}")
    return found


def settings_for(
    target: Path,
    facts: FilmFacts,
    size: tuple[int, int],
    *,
    codec: str | None,
    crf: float | None,
    note: Callable[[str], object],
) -> Settings:
    """Return settings that were tried; ``note`` is called with what gets lost. Raise OptionError if none work."""
    container = container_for(target)
    found = _codec(codec or (container.deep if facts.bits > 8 else container.encoder))
    pix_fmt, bits = _pix_fmt(found, facts)
    if size[0] % 2 or size[1] % 2:
        size = (size[0] - size[0] % 2, size[1] - size[1] % 2)
        note(f"video needs even sizes: the last row or column is cropped to {size[0]}x{size[1]}")
    if facts.bits > 8:
        note(
            f"{facts.bits} bits per channel are enlarged in 16 and written in {bits}"
            if bits > 8
            else f"{facts.bits} bits per channel become 8, because {found.name} supports no more (--codec libx265 does)"
        )
    settings = Settings(
        found.name, _options(found.name, crf), pix_fmt, facts.bits > 8 and bits > 8, size, facts.rate,
        facts.time_base, facts.color, facts.aspect,
    )  # fmt: skip
    _try(settings, container, target)
    return settings


def _codec(name: str) -> Any:
    av = pyav.load()
    try:
        found = av.codec.Codec(name, "w")
    except ValueError:  # PyAV's UnknownCodecError is one
        found = None
    if found is None or found.type != "video":
        raise OptionError(f"--codec {name}: this PyAV has no such video encoder; use {', '.join(RECIPES)}")
    return found


def _options(encoder: str, crf: float | None) -> dict[str, str]:
    recipe = RECIPES.get(encoder, Recipe())
    if crf is not None and recipe.crf is None:
        raise OptionError(
            f"--crf: {encoder} does not support it; it is for {', '.join(n for n in RECIPES if RECIPES[n].crf)}"
        )
    if crf is not None and not 0 <= crf <= recipe.worst:
        raise OptionError(f"--crf {crf:g}: {encoder} takes 0 (best) to {recipe.worst}")
    quality = recipe.crf if crf is None else crf
    return recipe.options | ({} if quality is None else {"crf": f"{quality:g}"})


def _pix_fmt(codec: Any, facts: FilmFacts) -> tuple[str, int]:
    """Return the encoder's format nearest to the film's, and its bits."""
    offered = {f.name for f in codec.video_formats or ()}
    depths = [10, 12, 8] if facts.bits > 8 else [8, 10]
    depths = sorted(depths, key=lambda bits: bits != facts.bits)
    for bits in depths:
        for chroma in (facts.chroma, "420", "422", "444"):
            name = f"yuv{chroma}p" + (f"{bits}le" if bits > 8 else "")
            if name in offered:
                return name, bits
    raise OptionError(f"--codec {codec.name} supports no pixel format that cvsr writes; use {', '.join(RECIPES)}")


def _try(settings: Settings, container: Container, target: Path) -> None:
    """Raise OptionError if the encoder refuses its settings, or the container the encoder."""
    av = pyav.load()
    with av.open(io.BytesIO(), "w", format=container.format) as trial:
        try:
            trial.add_stream(settings.encoder, rate=settings.rate)
        except ValueError as error:
            raise OptionError(f"{target.suffix} files cannot contain video of {settings.encoder}: use .mkv") from error
    with av.open(io.BytesIO(), "w", format=PART_FORMAT) as trial:
        try:
            _add_stream(trial, settings).codec_context.open()
            pyav.use_ordinary_priority()
        except (OSError, ValueError) as error:
            told = " ".join(f"{name}={value}" for name, value in settings.options.items())
            raise OptionError(
                f"{settings.encoder} refuses {settings.size[0]}x{settings.size[1]} {settings.pix_fmt} with {told}: "
                f"{pyav.reason(error)}"
            ) from error


def _add_stream(container: Any, settings: Settings) -> Any:
    stream = container.add_stream(settings.encoder, rate=settings.rate, options=dict(settings.options))
    stream.width, stream.height = settings.size
    stream.pix_fmt = settings.pix_fmt
    stream.time_base = stream.codec_context.time_base = settings.time_base
    settings.tag(stream.codec_context)
    return stream


class PartWriter:
    """Writes a part of a film to ``stream``, as video alone."""

    def __init__(self, stream: BinaryIO, settings: Settings) -> None:
        self._settings = settings
        self._converter = Converter(settings.color)
        self._container = pyav.load().open(stream, "w", format=PART_FORMAT)
        self._stream = _add_stream(self._container, settings)
        self.pts: list[int] = []
        self.end = 0

    def write(self, shot: Shot) -> None:
        """Encode one frame."""
        width, height = self._settings.size
        frame = self._converter.to_yuv(shot.image[:height, :width], self._settings.pix_fmt)
        frame.pts, frame.time_base = shot.pts, self._settings.time_base
        opened, self.end = self.end > 0, shot.pts + shot.duration
        packets = self._stream.encode(frame)
        if not opened:
            pyav.use_ordinary_priority()
        self._mux(packets)

    def close(self) -> None:
        """Write what the encoder still holds. From here on, ``pts`` has the times of all packets, in their order."""
        self._mux(self._stream.encode())
        self._container.close()

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            self.pts.append(packet.pts)
            try:
                self._container.mux(packet)
            except OSError as error:
                if isinstance(error, FileError):
                    raise
                raise OSError(error.errno, pyav.reason(error)) from error  # as from Python's own files
