"""Short films for the tests, and what is in a film."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from cvsr.cli import verbs
from cvsr.video import mux

FAST = ["-m", "bilinear"]
TURNS = pytest.mark.skipif(not mux.keeps_rotation(), reason="this PyAV writes no films that are to be turned")
RATE = 48000
TICKS = 512  # of the time base, for a frame at 30 frames a second


def picture(number: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    """Return BGR that moves with ``number``: blocks of color over a ramp, soft enough to survive a codec."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    x = x + 2 * number
    channels = [(x * 3 + y) % 256, (np.sin(x / 9) * 60 + 128), (np.cos(y / 7 + number / 5) * 60 + 128)]
    return np.dstack(channels).astype(np.uint8)


def make(
    path: Path,
    frames: int = 40,
    *,
    size: tuple[int, int] = (64, 48),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    sound: bool = False,
    steps: tuple[int, ...] = (TICKS,),
    time_base: Fraction = Fraction(1, 15360),
    colors: tuple[int, int, int, int] = (1, 1, 1, 1),
    aspect: Fraction | None = None,
    rotation: int | None = None,
    images: Any = None,
) -> Path:
    """Write a film: ``steps`` are the times between frames, in turn; ``colors`` matrix, range, primaries, transfer."""
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "A film"
        stream = container.add_stream(codec, rate=30, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        context = stream.codec_context
        stream.time_base = context.time_base = time_base
        context.colorspace, context.color_range, context.color_primaries, context.color_trc = colors
        if aspect:
            context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        tone = _sound(container) if sound else None
        pts = 0
        for number in range(frames):
            image = picture(number, size) if images is None else images[number]
            kind = "bgr48le" if image.dtype == np.uint16 else "bgr24"
            frame = av.VideoFrame.from_ndarray(image, format=kind)
            frame.pts, frame.time_base = pts, time_base
            container.mux(stream.encode(frame))
            pts += steps[number % len(steps)]
            if tone is not None:
                tone.until(float(pts * time_base))
        container.mux(stream.encode())
        if tone is not None:
            tone.end()
    return path


class _sound:  # noqa: N801 - a helper of make
    """A tone of 440 Hz, in step with the pictures."""

    def __init__(self, container: Any) -> None:
        self.container, self.done = container, 0
        self.stream = container.add_stream("aac", rate=RATE)
        self.stream.metadata["language"] = "deu"

    def until(self, seconds: float) -> None:
        while self.done < seconds * RATE:
            time = (np.arange(1024) + self.done) / RATE
            wave = (np.sin(2 * np.pi * 440 * time) * 0.3).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(np.stack([wave, wave]), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = RATE, self.done
            self.container.mux(self.stream.encode(frame))
            self.done += 1024

    def end(self) -> None:
        self.container.mux(self.stream.encode())


def runner(folder: Path) -> Callable[..., Path]:
    """Return a function that enlarges a film by the command line, into ``folder``, and returns the result's path."""

    def go(source: Path, *more: str, to: str = "out.mp4", code: int = 0) -> Path:
        target = folder / to
        assert verbs.main(["video", str(source), str(target), *FAST, *more]) == code
        return target

    return go


def times(path: Path) -> list[Fraction]:
    """Return when each frame is shown, in seconds."""
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def planes(path: Path) -> Iterator[np.ndarray]:
    """Yield the luma of the decoded frames, as it is stored, above their chroma."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            dtype = np.uint8 if max(c.bits for c in frame.format.components) == 8 else np.uint16
            wide = [np.frombuffer(p, dtype).reshape(p.height, -1)[:, : p.width] for p in frame.planes]
            yield np.vstack([np.pad(p, ((0, 0), (0, frame.width - p.shape[1]))) for p in wide])


def packets(path: Path, kind: str = "audio") -> list[tuple[Fraction, bytes]]:
    """Return the packets of the first stream of that kind: their times and bytes."""
    with av.open(str(path)) as container:
        stream = next(s for s in container.streams if s.type == kind)
        return [(p.pts * p.time_base, bytes(p)) for p in container.demux(stream) if p.size]


def seconds(path: Path) -> Fraction:
    """Return how long the video is."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream.duration * stream.time_base
