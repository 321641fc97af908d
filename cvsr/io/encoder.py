"""Writing a result in any format of the table: fitted to what the format can hold, then row by row.

PNG and TIFF go to the file band by band, so a result need not fit into memory; OpenCV encodes the others, whole.
"""

import logging
from typing import Any, BinaryIO, cast

import numpy as np

from cvsr._cv2 import VERSION, cv2
from cvsr.errors import FileError
from cvsr.image import Image
from cvsr.io.formats import Format
from cvsr.io.interface import Writer

log = logging.getLogger("cvsr")

DEFAULT_QUALITY = 95

_EXIF, _ICC = 0, 2  # cv2.IMAGE_METADATA_EXIF and _ICCP, which older versions do not have
_LONGEST_PROFILE = 255 * 65_519  # a JPEG can have 255 pieces of a profile


def fit(image: Image, format: Format) -> Image:
    """Return ``image`` with channels that ``format`` holds. Raise FileError if something visible would be lost."""
    channels = image.shape[2] if image.ndim == 3 else 1
    if channels in format.channels:
        return image
    if channels == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    if channels == 3:
        raise FileError(
            f"{format.name} can only store gray and this picture has color; write png instead (--format png)"
        )
    opaque = 1.0 if image.dtype.kind == "f" else np.iinfo(image.dtype).max
    if image[..., 3].min() < opaque:
        raise FileError(
            f"it is partly transparent and {format.name} cannot store that; write png, tiff or webp (--format png)"
        )
    log.info("%s has no alpha channel: its own, which is opaque everywhere, is dropped", format.name)
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


def convert(rows: Image, dtype: np.dtype[Any]) -> Image:
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
        132 <= len(icc) < _LONGEST_PROFILE
        and int.from_bytes(icc[:4], "big") == len(icc)
        and icc[36:40] == b"acsp"
        and icc[16:20] == space
    ):
        return icc
    log.warning("its color profile is damaged or for another kind of picture: dropped")
    return None


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
            f"the result is {shape[1]}x{shape[0]} and {format.name} allows {format.longest_side} pixels per side; "
            "write png or tiff (--format png)"
        )
    icc = usable_icc(icc, shape[2] if len(shape) == 3 else 1)
    quality = quality or DEFAULT_QUALITY
    if format.write is None:
        return _WholeWriter(stream, format, shape, dtype, quality, exif, icc)
    given = {"quality": quality, "exif": exif, "icc": icc}
    return format.write(stream, shape, dtype, **{key: given[key] for key in format.keeps})


class _WholeWriter:
    """Gather a picture and let OpenCV encode it."""

    def __init__(
        self,
        stream: BinaryIO,
        format: Format,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        quality: int,
        exif: bytes | None,
        icc: bytes | None,
    ) -> None:
        self._stream, self._format = stream, format
        self._image = np.empty(shape, dtype)
        self._filled = 0
        self._parameters = [getattr(cv2, format.quality), quality] if format.quality else []
        self._exif, self._icc = exif, icc

    def write(self, rows: Image) -> None:
        self._image[self._filled : self._filled + rows.shape[0]] = rows
        self._filled += rows.shape[0]

    def close(self) -> None:
        name, suffix, embed = self._format.name, self._format.suffixes[0], self._format.embed
        encoded = self._with_metadata(suffix) if (self._exif or self._icc) and embed is None else None
        if not isinstance(encoded, np.ndarray):
            encoded = _attempt(cv2.imencode, suffix, self._image, self._parameters)
        if not isinstance(encoded, np.ndarray):
            raise FileError(
                f"OpenCV {cv2.__version__} cannot encode it as {name} ({encoded}); write png (--format png)"
            )
        data = memoryview(cast(Any, encoded.reshape(-1)))
        for piece in embed(data, self._exif, self._icc) if embed else (data,):
            self._stream.write(piece)

    def _with_metadata(self, suffix: str) -> Image | None:
        if VERSION >= (4, 13):  # 4.12 knows EXIF only, and drops profiles silently
            kept = {kind: blob for kind, blob in ((_EXIF, self._exif), (_ICC, self._icc)) if blob}
            blobs = [np.frombuffer(blob, np.uint8) for blob in kept.values()]
            encoded = _attempt(cv2.imencodeWithMetadata, suffix, self._image, list(kept), blobs, self._parameters)
            if isinstance(encoded, np.ndarray):
                return encoded
        log.warning("OpenCV %s cannot write its EXIF or color profile into %s: dropped", cv2.__version__, suffix[1:])
        return None


def _attempt(encode: Any, *arguments: Any) -> Image | str:
    """Return what ``encode`` makes, or why it does not: some versions raise, some return False."""
    try:
        done, encoded = encode(*arguments)
    except (cv2.error, MemoryError) as error:
        return str(error).strip()
    return encoded if done and isinstance(encoded, np.ndarray) and encoded.size else "it gives no reason"
