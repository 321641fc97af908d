"""Samples of files as networks need them: photos as they are, measurements scaled to 0..1 and back.

Networks are trained on photos; the counts of a microscope, elevations in meters and missing values are foreign to them.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from cvsr.errors import FileError
from cvsr.image import Image
from cvsr.image.fill import REACH, Mask, nearest, spread_in_blocks
from cvsr.inference.rows import Rows
from cvsr.inference.stages import Progress, Report
from cvsr.upscaler import Upscaler

TAKEN = ("uint8", "uint16", "float32", "float64", "float16", "int8", "int16")
"""The supported types of samples; 32-bit integers have more digits than a network's floats."""

_PHOTO = ("uint8", "uint16")
_AT_A_TIME = 64  # rows to read when looking for the range

PORTION = 1 << 20
"""Bytes of rows to convert back to the file's samples at a time."""

Normalize = bool | tuple[float, float] | None


class Raw(Rows, Protocol):
    """A picture in a file: rows on demand, their samples as in the file, but BGR.

    ``nodata`` is the value of pixels without data, None if there is no such value.
    """

    nodata: float | None

    def missing(self, start: int, stop: int) -> Mask | None:
        """Return which pixels have no data, (n, W), None if all have."""
        ...


@dataclass(frozen=True)
class Scale:
    """How samples of ``dtype`` are mapped for a network and back: ``low`` to 0 and ``high`` to 1, or unchanged.

    ``holes`` tells whether some of them are missing.
    """

    dtype: np.dtype[Any]
    low: float = 0.0
    high: float = 1.0
    plain: bool = True
    holes: bool = False

    @property
    def fed(self) -> np.dtype[Any]:
        """Return the dtype that the network is fed."""
        return self.dtype if self.plain and self.dtype.name in _PHOTO else np.dtype(np.float32)

    def to_network(self, rows: Image) -> Image:
        """Return rows of a file as the network is fed them."""
        if self.plain:
            return rows.astype(self.fed, copy=False)
        unit = np.subtract(rows, self.low, dtype=np.float64) if self.dtype == np.float64 else rows.astype(np.float32)
        if self.dtype != np.float64:
            unit -= np.float32(self.low)
        unit *= unit.dtype.type(1 / ((self.high - self.low) or 1))
        return np.clip(unit, 0, 1, out=unit).astype(np.float32, copy=False)

    def from_network(self, rows: Image) -> Image:
        """Return rows of a result as the file's samples."""
        if self.plain:
            return rows.astype(self.dtype, copy=False)
        values = rows * np.float64((self.high - self.low) or 1) + self.low
        if self.dtype.kind == "f":
            return values.astype(self.dtype)
        limits = np.iinfo(self.dtype)
        return np.clip(np.rint(values), limits.min, limits.max).astype(self.dtype)


def scale_of(pictures: Iterable[Raw], dtype: np.dtype[Any], normalize: Normalize, holes: bool = False) -> Scale:
    """Return the one scale for all ``pictures`` of ``dtype``, so that they stay comparable.

    ``normalize``: None leaves 8 and 16 bits, and floats within 0..1, unchanged, and otherwise uses the lowest and
    highest value of all pictures; True always uses those; a pair (low, high) is used itself. ``holes``: some may be
    missing.
    Raise FileError if there are no values, or if their type is not supported.
    """
    if dtype.name not in TAKEN:
        raise FileError(f"it has {dtype.name} samples: convert them to 16 bits or 32-bit floats first")
    if isinstance(normalize, tuple):
        low, high = normalize
        if not low < high:
            raise FileError(f"invalid range {low:g} to {high:g}: give the lowest and the highest value")
        return Scale(dtype, low, high, plain=False, holes=holes or dtype.kind == "f")
    if dtype.name in _PHOTO and not normalize:
        return Scale(dtype, holes=holes)
    low, high, gaps = _range(pictures)
    plain = not normalize and dtype.kind == "f" and low >= 0 and high <= 1
    return Scale(dtype, *((0.0, 1.0) if plain else (low, high)), plain=plain, holes=holes or gaps)


def _range(pictures: Iterable[Raw]) -> tuple[float, float, bool]:
    """Return the lowest and the highest value, and whether some are missing or not finite."""
    low, high, gaps = np.inf, -np.inf, False
    for picture in pictures:
        for top in range(0, picture.shape[0], _AT_A_TIME):
            rows = picture.rows(top, min(top + _AT_A_TIME, picture.shape[0]))
            hidden = hidden_of(picture, rows, top)
            if hidden is not None and hidden.any():
                gaps, rows = True, rows[~hidden]
            if rows.size:
                low, high = min(low, float(rows.min())), max(high, float(rows.max()))
    if low > high:
        raise FileError("all of its values are missing (no data, NaN or infinite): nothing to enlarge")
    return low, high, gaps


def hidden_of(picture: Raw, rows: Image, top: int) -> Mask | None:
    """Return which of a picture's ``rows`` from ``top`` are missing or not finite, (n, W)."""
    hidden = picture.missing(top, top + rows.shape[0])
    if rows.dtype.kind != "f":
        return hidden
    infinite = ~np.isfinite(rows)
    if infinite.ndim == 3:
        infinite = np.logical_or.reduce(infinite, axis=2)
    return infinite if hidden is None else np.logical_or(hidden, infinite)


class Scaled:
    """A picture of a file as input of an upscaler: scaled, with missing pixels filled from their neighbors."""

    def __init__(self, raw: Raw, scale: Scale) -> None:
        self._raw, self._scale = raw, scale
        self.shape, self.dtype = raw.shape, scale.fed

    def rows(self, start: int, stop: int) -> Image:
        """Return rows as part of an image."""
        if not self._scale.holes:
            return self._scale.to_network(self._raw.rows(start, stop))
        first, last = max(0, start - REACH), min(self.shape[0], stop + REACH)
        rows = self._raw.rows(first, last)
        hidden = hidden_of(self._raw, rows, first)
        if hidden is None or not hidden.any():
            return self._scale.to_network(rows[start - first : stop - first])
        rows = np.where(hidden if rows.ndim == 2 else hidden[..., None], rows.dtype.type(self._scale.low), rows)
        return spread_in_blocks(self._scale.to_network(rows), hidden)[start - first : stop - first]


def enlarged(
    raw: Raw,
    scale: Scale,
    upscaler: Upscaler,
    max_memory: int | str | None = None,
    progress: Report | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Iterator[Image]:
    """Yield the rows of a picture's result from the top, as the file's samples.

    ``progress`` and ``cancel`` are called as by :meth:`cvsr.Upscaler.bands`.
    """
    size = upscaler.output_size(raw.shape[1], raw.shape[0])
    top = 0
    for band in upscaler.bands(Scaled(raw, scale), max_memory=max_memory, progress=progress, cancel=cancel):
        step = max(1, PORTION // band[:1].nbytes)
        for start in range(0, band.shape[0], step):
            rows = band[start : start + step]
            yield restored(raw, scale, rows, top, size)
            top += rows.shape[0]
        if progress and upscaler.interpolates:  # no tiles report
            progress(Progress(top, size[1]))


def share_of(progress: Report, done: int, total: int) -> Report:
    """Return a function that reports the progress of one of ``total`` parts after ``done`` others."""
    return lambda step: progress(step.as_part(done, total))


def restored(raw: Raw, scale: Scale, rows: Image, top: int, size: tuple[int, int]) -> Image:
    """Return ``rows`` of the result from ``top``, of ``size`` in all, as the file's samples, with missing pixels.

    A pixel is missing if the source's pixel under its center is. Results that happen to equal the value for "no data"
    move by one step.
    """
    result = scale.from_network(rows)
    if not scale.holes:
        return result
    y = nearest(top, top + rows.shape[0], size[1], raw.shape[0])
    x = nearest(0, size[0], size[0], raw.shape[1])
    first, last = int(y[0]), int(y[-1]) + 1
    source = raw.rows(first, last)
    hidden = hidden_of(raw, source, first)
    result = np.array(result)
    if raw.nodata is not None and np.isfinite(raw.nodata):
        nodata = result.dtype.type(raw.nodata)
        top_value = np.finfo(result.dtype).max if result.dtype.kind == "f" else np.iinfo(result.dtype).max
        step = -1 if nodata == top_value else 1
        beside = np.nextafter(nodata, step * np.inf) if result.dtype.kind == "f" else int(nodata) + step
        result[result == nodata] = beside
    if hidden is not None and hidden.any():
        at = hidden[y - first][:, x]
        result[at] = source[y - first][:, x][at]
    return result
