"""Films: ``cvsr video``, ``cvsr frames``, ``cvsr.video.frames``. Checksums are of decoded frames."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from sections import kit

COUNT = 12


def run(book: kit.Book) -> None:
    """Note results."""
    _make("film.mkv", "ffv1", "yuv420p")
    _make("sound.mp4", "mpeg4", "yuv420p", sound=True)
    _make("deep.mkv", "ffv1", "yuv420p10le")
    _make("full.mkv", "mjpeg", "yuvj420p")
    for name in ("film.mkv", "sound.mp4", "deep.mkv", "full.mkv"):
        _upscaled(book, name, name, f"{name}_x2.mkv", "--codec", "ffv1")
    _upscaled(book, "h264", "sound.mp4", "h264.mp4")
    _upscaled(book, "crf", "film.mkv", "crf.mp4", "--codec", "h264", "--crf", "40")
    _upscaled(book, "vp9", "film.mkv", "film.webm", "--crf", "30")
    _upscaled(book, "cut", "sound.mp4", "cut.mkv", "--codec", "ffv1", "--start", "0.1", "--end", "0:00:00.3")
    _upscaled(book, "preview", "film.mkv", "preview.mkv", "--codec", "ffv1", "--preview")
    _upscaled(book, "effort", "film.mkv", "effort.mkv", "--codec", "ffv1", "--effort", "fast")
    _upscaled(book, "scale", "film.mkv", "scale.mkv", "--codec", "ffv1", "-s", "1.5")
    _upscaled(book, "existing", "film.mkv", "scale.mkv", "--codec", "ffv1")
    _upscaled(book, "overwrite", "film.mkv", "scale.mkv", "--codec", "ffv1", "--overwrite", "-s", "1")
    _upscaled(book, "resume", "film.mkv", "resume.mkv", "--codec", "ffv1", "--resume")
    for name, arguments in {
        "missing": ("missing.mkv", "a.mkv"), "suffix": ("film.mkv", "a.xyz"), "itself": ("film.mkv", "film.mkv"),
        "codec": ("film.mkv", "a.mkv", "--codec", "steam"), "start": ("film.mkv", "a.mkv", "--start", "noon"),
        "late": ("film.mkv", "a.mkv", "--start", "99"), "no film": (__file__, "a.mkv"),
        "webm with h264": ("film.mkv", "a.webm", "--codec", "h264"),
    }.items():  # fmt: skip
        book(f"wrong/{name}", kit.code, "video", *arguments, "-m", "bilinear")
    book("left", kit.tree, Path())
    _raw(book)
    _in_scripts(book)


def _image(number: int) -> np.ndarray:
    image = kit.photo("coffee", 64 + 24, 48)[:, number : number + 64].copy()
    image[4:20, 4:20] = (200, 180, 160)
    return image


def _make(name: str, codec: str, pixels: str, *, sound: bool = False) -> None:
    with av.open(name, "w") as container:
        container.metadata["title"] = "A film"
        video = container.add_stream(codec, rate=25, options={"threads": "1"})
        video.width, video.height, video.pix_fmt = 64, 48, pixels
        video.codec_context.sample_aspect_ratio = Fraction(4, 3)
        audio = container.add_stream("aac", rate=48000) if sound else None
        for number in range(COUNT):
            frame = av.VideoFrame.from_ndarray(_image(number // 2), format="bgr24").reformat(format=pixels)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if audio:
            wave = np.sin(np.arange(48000 * COUNT // 25)[None] / 30).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(np.repeat(wave, 2, 0), format="fltp", layout="stereo")
            frame.rate = 48000
            container.mux(audio.encode(frame))
            container.mux(audio.encode())


def _upscaled(book: kit.Book, name: str, source: str, target: str, *options: str) -> None:
    model = "cvsr-small" if name in ("film.mkv", "effort", "preview") else "bilinear"
    book(f"{name}/code", kit.code, "video", source, target, "-m", model, *options)
    if name != "existing" and Path(target).exists():
        _inspect(book, name, target)


def _inspect(book: kit.Book, name: str, path: str) -> None:
    def facts() -> list[Any]:
        with av.open(path) as film:
            return [film.format.name, film.metadata.get("title"), *map(_stream, film.streams)]

    def frames() -> list[Any]:
        with av.open(path) as film:
            shots = [(frame.pts, _planes(frame)) for frame in film.decode(video=0)]
        return [len(shots), [time for time, _ in shots], kit.checksum(b"".join(data for _, data in shots))]

    def sound() -> list[str]:
        with av.open(path) as film:
            return [kit.checksum(bytes(packet)) for packet in film.demux(audio=0) if packet.size]

    book(f"{name}/facts", facts)
    book(f"{name}/frames", frames)
    if "sound" in name or name in ("h264", "cut"):
        book(f"{name}/sound", sound)


def _planes(frame: av.VideoFrame) -> bytes:
    planes = [np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size) for plane in frame.planes]
    depth = 2 if "10" in frame.format.name else 1
    cut = [rows[:, : plane.width * depth] for rows, plane in zip(planes, frame.planes, strict=True)]
    return b"".join(np.ascontiguousarray(rows).tobytes() for rows in cut)


def _stream(stream: Any) -> dict[str, Any]:
    context, facts = stream.codec_context, {"type": stream.type, "codec": stream.codec_context.name}
    names = ["width", "height", "pix_fmt", "sample_aspect_ratio", "color_range", "colorspace", "color_primaries"]
    names += ["color_trc"] if stream.type == "video" else ["sample_rate"]
    facts |= {name: str(getattr(context, name, None)) for name in names}
    return facts | {"time_base": str(stream.time_base), "rate": str(getattr(stream, "average_rate", None))}


def _raw(book: kit.Book) -> None:
    images = [_image(number // 2) for number in range(5)]
    data = b"".join(image.tobytes() for image in images)
    for options in ((), ("-s", "1.5"), ("-m", "bicubic"), ("--effort", "fast"), ("-m", "vdsr")):
        done = kit.cvsr("frames", "64", "48", *options, stdin=data)
        book.note(f"raw/{' '.join(options)}", [done.returncode, kit.describe(done.stdout)])
    for name, stdin in {"cut": data[:-5], "nothing": b""}.items():
        done = kit.cvsr("frames", "64", "48", "-m", "nearest", stdin=stdin)
        book.note(f"raw/{name}", [done.returncode, kit.describe(done.stdout)])
    book("raw/size", kit.code, "frames", "0", "48", stdin=data)


def _in_scripts(book: kit.Book) -> None:
    import cvsr
    from cvsr import video

    upscaler = cvsr.Upscaler("cvsr-small", 2, threads=1, tile=32, exact=True)
    sources: dict[str, Any] = {
        "film": "film.mkv", "path": Path("sound.mp4"), "list": [_image(0), _image(0), _image(3)],
        "capture": cv2.VideoCapture("sound.mp4"), "missing": "missing.mp4", "closed": cv2.VideoCapture("missing.mp4"),
        "generator": (_image(number) for number in range(3)), "none": [], "wrong": [None], "deep": "deep.mkv",
    }  # fmt: skip
    for name, source in sources.items():
        book(f"frames/{name}", lambda source=source: list(video.frames(source, upscaler)))
