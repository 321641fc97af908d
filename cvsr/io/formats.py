"""The formats that results are written in: what each can hold, and writing rows as they come.

PNG and TIFF go to the file band by band, so a result need not fit into memory; the others are encoded by OpenCV, whole.
"""

from __future__ import annotations

import logging
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol, cast

import numpy as np
import numpy.typing as npt

from cvsr._cv2 import VERSION, cv2
from cvsr.errors import FileError, OptionError
from cvsr.io.png import PngWriter
from cvsr.io.reader import can_write
from cvsr.io.tiff.writer import TiffWriter

Array = npt.NDArray[Any]

log = logging.getLogger("cvsr")

DEFAULT_QUALITY = 95

_EXIF, _ICC = 0, 2  # cv2.IMAGE_METADATA_EXIF and _ICCP, which older versions do not have
_SEGMENT = 65_519  # the longest piece of a profile in a JPEG


@dataclass(frozen=True)
class Format:
    """A format that pictures can be written in, and what it can hold.

    ``overhead`` is what OpenCV's encoder allocates at most, in bytes per byte of the picture (measured, rounded up).
    """

    name: str
    suffixes: tuple[str, ...]
    dtypes: tuple[str, ...]
    channels: tuple[int, ...]
    longest_side: int = 1 << 30
    overhead: float = 0.0
    quality: str = ""

    @property
    def streams(self) -> bool:
        """Tell whether rows go to the file as they come, so that the picture is never whole in memory."""
        return self.name in ("png", "tiff")


FORMATS: dict[str, Format] = {
    format.name: format
    for format in (
        Format("png", (".png",), ("uint8", "uint16"), (1, 3, 4)),
        Format("tiff", (".tiff", ".tif"), ("uint8", "uint16", "float32"), (1, 3, 4)),
        Format("jpg", (".jpg", ".jpeg", ".jpe"), ("uint8",), (1, 3), 65500, 2.2, "IMWRITE_JPEG_QUALITY"),
        Format("webp", (".webp",), ("uint8",), (3, 4), 16383, 14, "IMWRITE_WEBP_QUALITY"),
        Format("avif", (".avif",), ("uint8",), (3, 4), 65536, 9, "IMWRITE_AVIF_QUALITY"),
        Format("jp2", (".jp2",), ("uint8", "uint16"), (1, 3, 4), overhead=9),
        Format("bmp", (".bmp", ".dib"), ("uint8",), (1, 3), overhead=2.2),
        Format("ppm", (".ppm", ".pnm"), ("uint8", "uint16"), (3,), overhead=2.2),
        Format("pgm", (".pgm",), ("uint8", "uint16"), (1,), overhead=2.2),
        Format("pfm", (".pfm",), ("float32",), (1, 3), overhead=2.2),
        Format("hdr", (".hdr",), ("float32",), (3,), overhead=2.2),
    )
}
"""The formats by name. Others that OpenCV reads (GIF, PBM, …) hold too little of a picture to be written in."""


def format_of(suffix: str) -> Format | None:
    """Return the format that a suffix (or a name: "png") stands for, None if nothing here can write it."""
    suffix = "." + suffix.lower().lstrip(".")
    found = next((f for f in FORMATS.values() if suffix in f.suffixes), None)
    return found if found and (found.streams or can_write(suffix)) else None


def names() -> list[str]:
    """Return the names of the formats that this OpenCV can write."""
    return [name for name in FORMATS if format_of(name)]


def result_suffix(suffix: str) -> str:
    """Return the suffix of the result of a file with ``suffix``: the same where that can be written, else PNG's."""
    if format_of(suffix):
        return suffix
    return ".tiff" if suffix.lower() == ".exr" else ".png"  # OpenEXR holds floats, which PNG does not


def fit(image: Array, format: Format) -> Array:
    """Return ``image`` with channels that ``format`` holds. Raise FileError if something to be seen would get lost."""
    channels = image.shape[2] if image.ndim == 3 else 1
    if channels in format.channels:
        return image
    if channels == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    if channels == 3:
        raise FileError(
            f"{format.name} holds gray pictures only and this one has color; write png instead (--format png)"
        )
    opaque = 1.0 if image.dtype.kind == "f" else np.iinfo(image.dtype).max
    if image[..., 3].min() < opaque:
        raise FileError(
            f"it is partly transparent and {format.name} cannot hold that; write png, tiff or webp (--format png)"
        )
    log.info("its alpha channel is opaque all over and %s has none: left out", format.name)
    return fit(image[..., :3], format)


def dtype_for(dtype: np.dtype[Any], format: Format) -> np.dtype[Any]:
    """Return the dtype that ``format`` keeps samples of ``dtype`` in: the same, or the nearest that it has."""
    if dtype.name in format.dtypes:
        return dtype
    best = np.dtype(format.dtypes[-1])
    if best.itemsize < dtype.itemsize:
        log.warning(
            "%s keeps %d bits of its %d bits per sample (tiff keeps all)",
            format.name,
            8 * best.itemsize,
            8 * dtype.itemsize,
        )
    return best


def convert(rows: Array, dtype: np.dtype[Any]) -> Array:
    """Return ``rows`` in another dtype: uint8 and uint16 span their range, floats 0..1."""
    if rows.dtype == dtype:
        return rows
    top = 1.0 if rows.dtype.kind == "f" else float(np.iinfo(rows.dtype).max)
    unit = rows.astype(np.float32) / np.float32(top)
    if dtype.kind == "f":
        return unit.astype(dtype)
    return np.rint(np.clip(unit, 0, 1) * np.iinfo(dtype).max).astype(dtype)


def usable_icc(icc: bytes | None, channels: int) -> bytes | None:
    """Return a color profile if it is one, and for pictures of this kind; a bad one would spoil the file."""
    if icc is None:
        return None
    space = b"GRAY" if channels == 1 else b"RGB "
    if (
        132 <= len(icc) < 255 * _SEGMENT
        and int.from_bytes(icc[:4], "big") == len(icc)
        and icc[36:40] == b"acsp"
        and icc[16:20] == space
    ):
        return icc
    log.warning("its color profile is damaged or for another kind of picture: left out")
    return None


class Writer(Protocol):
    """Takes a picture from the top, in bands."""

    def write(self, rows: Array) -> None:
        """Append rows."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...


def open_writer(
    stream: BinaryIO,
    format: Format,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    *,
    quality: int | None = None,
    exif: bytes | None = None,
    icc: bytes | None = None,
) -> Writer:
    """Return a writer of a picture of ``shape`` to ``stream``, with what ``format`` can keep of EXIF and profile."""
    if max(shape[:2]) > format.longest_side:
        raise FileError(
            f"the result is {shape[1]}x{shape[0]} and {format.name} ends at {format.longest_side} pixels a side; "
            "write png or tiff (--format png)"
        )
    icc = usable_icc(icc, shape[2] if len(shape) == 3 else 1)
    if format.name == "png":
        return PngWriter(stream, shape, dtype, exif=exif, icc=icc)
    if format.name == "tiff":
        return TiffWriter(stream, shape, dtype, icc=icc)
    return _WholeWriter(stream, format, shape, dtype, quality or DEFAULT_QUALITY, {_EXIF: exif, _ICC: icc})


class _WholeWriter:
    """Gather a picture and let OpenCV encode it."""

    def __init__(
        self,
        stream: BinaryIO,
        format: Format,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        quality: int,
        metadata: dict[int, bytes | None],
    ) -> None:
        self._stream = stream
        self._format = format
        self._image = np.empty(shape, dtype)
        self._filled = 0
        self._parameters = [getattr(cv2, format.quality), quality] if format.quality else []
        self._metadata = {kind: blob for kind, blob in metadata.items() if blob}

    def write(self, rows: Array) -> None:
        self._image[self._filled : self._filled + rows.shape[0]] = rows
        self._filled += rows.shape[0]

    def close(self) -> None:
        name, suffix = self._format.name, self._format.suffixes[0]
        encoded = self._with_metadata(suffix) if self._metadata and name != "jpg" else None
        if not isinstance(encoded, np.ndarray):
            encoded = _attempt(cv2.imencode, suffix, self._image, self._parameters)
        if not isinstance(encoded, np.ndarray):
            raise FileError(
                f"OpenCV {cv2.__version__} cannot encode it as {name} ({encoded}); write png (--format png)"
            )
        data = memoryview(cast(Any, encoded.reshape(-1)))
        if name == "jpg":
            first = 4 + struct.unpack_from(">H", data, 4)[0] if data[3] == 0xE0 else 2  # behind JFIF's segment
            self._stream.write(data[:first])
            self._stream.write(_jpeg_segments(self._metadata.get(_EXIF), self._metadata.get(_ICC)))
            data = data[first:]
        self._stream.write(data)

    def _with_metadata(self, suffix: str) -> Array | None:
        if VERSION >= (4, 13):  # 4.12 knows EXIF only, and drops profiles without a word
            blobs = [np.frombuffer(blob, np.uint8) for blob in self._metadata.values()]
            arguments = suffix, self._image, list(self._metadata), blobs, self._parameters
            encoded = _attempt(cv2.imencodeWithMetadata, *arguments)
            if isinstance(encoded, np.ndarray):
                return encoded
        log.warning("OpenCV %s cannot write its EXIF or color profile into %s: left out", cv2.__version__, suffix[1:])
        return None


def _jpeg_segments(exif: bytes | None, icc: bytes | None) -> bytes:
    """Return the segments of a JPEG that hold an EXIF block and a profile: OpenCV writes them since 4.13 at best."""
    segments = b""
    if exif and len(exif) <= _SEGMENT:
        segments += struct.pack(">BBH", 0xFF, 0xE1, len(exif) + 8) + b"Exif\0\0" + exif
    elif exif:
        log.warning("its EXIF block is too long for a JPEG: left out")
    parts = [icc[at : at + _SEGMENT] for at in range(0, len(icc), _SEGMENT)] if icc else []
    for number, part in enumerate(parts, 1):
        head = b"ICC_PROFILE\0" + bytes([number, len(parts)])
        segments += struct.pack(">BBH", 0xFF, 0xE2, len(part) + len(head) + 2) + head + part
    return segments


def _attempt(encode: Any, *arguments: Any) -> Array | str:
    """Return what ``encode`` makes, or why it does not: some versions raise, some return False."""
    try:
        done, encoded = encode(*arguments)
    except (cv2.error, MemoryError) as error:
        return str(error).strip()
    return encoded if done and isinstance(encoded, np.ndarray) and encoded.size else "it gives no reason"


def format_named(name: str) -> Format:
    """Return the format that ``--format`` names. Raise OptionError where this OpenCV cannot write it."""
    found = format_of(name)
    if found is None:
        raise OptionError(f"--format {name}: this OpenCV can write {', '.join(names())}")
    return found
