"""Between the YUV of films and BGR: with the matrix and the range that the film states, rounded accurately.

Films that state no matrix are treated as players do: BT.601 below 720 lines, BT.709 from there on. The result states
the matrix, because it may be on the other side of that border.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from cvsr.errors import OptionError
from cvsr.image import Image
from cvsr.video import pyav, yuv16

RGB, BT709, UNKNOWN, BT601 = 0, 1, 2, 6  # of FFmpeg's AVColorSpace, which are those of ITU-T H.273
LIMITED, FULL = 1, 2  # of AVColorRange
_MATRICES = {1: "bt709", 4: "fcc", 5: "smpte170m", 6: "smpte170m", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
_HD = 720  # lines
# Without these, colors have a cast of up to three steps. Chroma lies on every other column, as in MPEG-2, H.264 and on.
_FLAGS = "flags=bilinear+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact:in_h_chr_pos=0:out_h_chr_pos=0"


@dataclass(frozen=True)
class Color:
    """The colors that a film states, as numbers of ITU-T H.273 (``range``: 1 limited, 2 full)."""

    matrix: int
    range: int
    primaries: int = UNKNOWN
    transfer: int = UNKNOWN


def of(frame: Any) -> Color:
    """Return the colors of a decoded frame, with defaults if not stated. Raise OptionError for unsupported ones."""
    matrix, name = int(frame.colorspace), str(frame.format.name)
    if matrix not in _MATRICES and matrix not in (RGB, UNKNOWN, 3):
        raise OptionError(f"cvsr does not support the film's color matrix (number {matrix} of ITU-T H.273)")
    if matrix not in _MATRICES:
        matrix = BT709 if frame.height >= _HD else BT601
    full = int(frame.color_range) == FULL or name.startswith("yuvj")
    limited = bool(frame.format.is_rgb) or not full
    return Color(
        matrix,
        LIMITED if limited else FULL,
        int(getattr(frame, "color_primaries", UNKNOWN)),
        int(getattr(frame, "color_trc", UNKNOWN)),
    )


class Converter:
    """Converts frames of one film; its filters are made once for each kind of frame."""

    def __init__(self, color: Color) -> None:
        self._color = color
        self._av = pyav.load()
        self._graphs: dict[tuple[object, ...], Any] = {}

    def to_bgr(self, frame: Any, size: tuple[int, int], *, sixteen: bool) -> Image:
        """Return a decoded frame as BGR of ``size`` = (width, height), uint16 if ``sixteen``, else uint8."""
        color, where = self._color, f"w={size[0]}:h={size[1]}"
        about = f"{where}:in_color_matrix={_MATRICES[color.matrix]}:in_range={_range(color)}"
        if frame.format.is_rgb:
            pixels: Image = self._run(frame, "bgr48le" if sixteen else "bgr24", where).to_ndarray()
            return pixels
        if not sixteen:
            return self._run(frame, "bgr24", about).to_ndarray()
        bits = depth(frame.format)
        same = f"{about}:out_color_matrix={_MATRICES[color.matrix]}:out_range={_range(color)}"
        return yuv16.to_bgr(self._run(frame, _full(bits), same), bits, color.matrix, color.range == FULL)

    def to_yuv(self, image: Image, pix_fmt: str) -> Any:
        """Return BGR as a frame of a YUV format: uint8, or uint16 if that has more than 8 bits."""
        color = self._color
        about = f"out_color_matrix={_MATRICES[color.matrix]}:out_range={_range(color)}"
        if image.dtype != np.uint16:
            return self._run(self._av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "bgr24"), pix_fmt, about)
        bits = depth(self._av.VideoFormat(pix_fmt))
        frame = self._av.VideoFrame(image.shape[1], image.shape[0], _full(bits))
        yuv16.to_yuv(image, frame, bits, color.matrix, color.range == FULL)
        return self._run(frame, pix_fmt, f"{about}:in_color_matrix={_MATRICES[color.matrix]}:in_range={_range(color)}")

    def _run(self, frame: Any, pix_fmt: str, options: str) -> Any:
        key = (frame.format.name, frame.width, frame.height, pix_fmt, options)
        if key not in self._graphs:
            self._graphs[key] = self._graph(frame, pix_fmt, options)
        self._graphs[key].push(frame)
        return self._graphs[key].pull()

    def _graph(self, frame: Any, pix_fmt: str, options: str) -> Any:
        graph = self._av.filter.Graph()
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format.name, time_base=Fraction(1, 1000)
        )
        scale = graph.add("scale", f"{_FLAGS}:{options}")
        kind, sink = graph.add("format", f"pix_fmts={pix_fmt}"), graph.add("buffersink")
        for one, next_ in ((source, scale), (scale, kind), (kind, sink)):
            one.link_to(next_)
        graph.configure()
        return graph


def depth(format: Any) -> int:
    """Return the bits of a format, as one of those that deep frames are computed in."""
    bits = max(component.bits for component in format.components)
    return next((offered for offered in yuv16.DEPTHS if offered >= bits), 16)


def _full(bits: int) -> str:
    return f"yuv444p{bits}le"


def _range(color: Color) -> str:
    return "full" if color.range == FULL else "limited"
