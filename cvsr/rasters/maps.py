"""Maps: GeoTIFF to GeoTIFF with rasterio (extra ``geo``), strip by strip; georeferencing is kept.

:func:`cvsr.upscale_file` takes such files.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cvsr.errors import FileError, OptionError, install_hint
from cvsr.image import Image
from cvsr.image.fill import Mask, nearest
from cvsr.inference.stages import Report
from cvsr.rasters import map_metadata
from cvsr.rasters.normalize import Normalize, enlarged, scale_of, share_of
from cvsr.upscaler import Upscaler

log = logging.getLogger("cvsr")

_BLOCK = 256  # the side of the result's tiles, a multiple of 16
_CACHE = 32 << 20  # bytes of blocks that GDAL keeps; its own default is a share of the machine's memory


def is_here() -> bool:
    """Tell whether rasterio is installed."""
    return importlib.util.find_spec("rasterio") is not None


def rasterio() -> Any:
    """Return the package. Raise OptionError, with the command that installs it, if it is missing."""
    try:
        return importlib.import_module("rasterio")
    except ImportError as error:
        raise OptionError(f"maps are read with rasterio: {install_hint('geo')}") from error


class BandGroup:
    """Some bands of a scene as rows on demand: :class:`cvsr.rasters.normalize.Raw`. Colors come as BGR or BGRA."""

    def __init__(self, dataset: Any, numbers: tuple[int, ...], name: str) -> None:
        self._dataset, self.numbers, self._name = dataset, numbers, name
        first, together = numbers[0], len(numbers)
        self.shape: tuple[int, ...] = (dataset.height, dataset.width, *([together] if together > 1 else []))
        self.dtype: np.dtype[Any] = np.dtype(dataset.dtypes[first - 1])
        flags = [flag.name for flag in dataset.mask_flag_enums[first - 1]]
        self.has_mask = together != 4 and "all_valid" not in flags
        self.shares_mask = self.has_mask and "per_dataset" in flags and "alpha" not in flags
        value = dataset.nodatavals[first - 1] if "nodata" in flags else None
        self.nodata: float | None = value if together != 4 else None

    def rows(self, start: int, stop: int) -> Image:
        """Return the rows ``start:stop``. Raise FileError if they are damaged."""
        read: Image = self._read(self._dataset.read, list(self.numbers), start, stop)
        return read[0] if len(read) == 1 else np.ascontiguousarray(read[[2, 1, 0, 3][: len(read)]].transpose(1, 2, 0))

    def missing(self, start: int, stop: int) -> Mask | None:
        """Return which pixels have no data in at least one of the bands, None if all have."""
        if not self.has_mask:
            return None
        valid: Image = self._read(self._dataset.read_masks, list(self.numbers), start, stop)
        return np.logical_or.reduce(valid == 0, axis=0)

    def _read(self, how: Callable[..., Image], numbers: list[int], start: int, stop: int) -> Image:
        window = rasterio().windows.Window(0, start, self._dataset.width, stop - start)
        try:
            return how(numbers, window=window)
        except rasterio().errors.RasterioError as error:
            raise FileError(f"{self._name} is damaged: {error}") from error


class Scene:
    """A GeoTIFF open for reading; for ``with``. Raise FileError, OptionError."""

    def __init__(self, source: Path) -> None:
        module = rasterio()
        importlib.import_module("rasterio.windows")
        self._name = str(source)
        # no side files: GDAL would write what it cannot store in the result beside it, under the temporary name
        self._environment = module.Env(GDAL_CACHEMAX=_CACHE, GDAL_PAM_ENABLED="NO", GDAL_TIFF_INTERNAL_MASK="YES")
        self._environment.__enter__()
        try:
            self._dataset: Any = module.open(source)
            self.groups = [BandGroup(self._dataset, numbers, self._name) for numbers in self._numbers()]
        except module.errors.RasterioError as error:
            self._environment.__exit__(None, None, None)
            raise FileError(f"{self._name} cannot be read: {error}") from error
        except BaseException:
            self._environment.__exit__(None, None, None)
            raise

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._dataset.close()
        self._environment.__exit__(None, None, None)

    def _numbers(self) -> list[tuple[int, ...]]:
        """Return the numbers of the bands that are enlarged together."""
        meaning = [color.name for color in self._dataset.colorinterp]
        colors = next((n for n in (4, 3) if meaning[:n] == ["red", "green", "blue", "alpha"][:n]), 0)
        if len(set(self._dataset.dtypes[:colors])) > 1:
            colors = 0
        groups = [tuple(range(1, colors + 1))] if colors else []
        return groups + [(number,) for number in range(colors + 1, self._dataset.count + 1)]

    def write(
        self,
        stream: BinaryIO,
        upscaler: Upscaler,
        *,
        normalize: Normalize = None,
        max_memory: int | str | None = None,
        progress: Report | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> None:
        """Write the result to the file that ``stream`` is.

        The coordinate system is kept; the transform, ground control points and RPCs are rescaled. Missing pixels stay
        missing, and their values do not spread. Red, green, blue and alpha are enlarged together, each other band
        separately, as gray, with a range of its own. ``normalize``: see :meth:`cvsr.rasters.stacks.Stack.write`.
        """
        if "palette" in [color.name for color in self._dataset.colorinterp] and upscaler.info.name != "nearest":
            raise FileError(f"{self._name} has colored classes, which cannot be interpolated: use -m nearest")
        scales = [scale_of([group], group.dtype, normalize, group.has_mask) for group in self.groups]
        size = upscaler.output_size(self._dataset.width, self._dataset.height)
        with self._created(stream, size) as result:
            for number, (group, scale) in enumerate(zip(self.groups, scales, strict=True)):
                report = progress and share_of(progress, number, len(self.groups))
                for top, rows in _in_blocks(enlarged(group, scale, upscaler, max_memory, report, cancel)):
                    _put(result, group, top, rows)
            if self.groups[0].shares_mask:
                self._write_mask(result, size)

    @contextmanager
    def _created(self, stream: BinaryIO, size: tuple[int, int]) -> Generator[Any, None, None]:
        """Yield the result, open for writing, with everything but its pixels."""
        module = rasterio()
        profile = map_metadata.profile(self._dataset, size, together=len(self.groups) == 1)
        profile |= {"tiled": True, "blockxsize": _BLOCK, "blockysize": _BLOCK}
        try:
            with module.open(str(stream.name), "w", **profile) as result:
                map_metadata.copy_tags(self._dataset, result)
                yield result
            with open(stream.name, "rb+") as written:  # GDAL may have replaced the file that the stream is
                os.fsync(written.fileno())
        except module.errors.RasterioError as error:
            raise OSError(f"GDAL: {error}") from error

    def _write_mask(self, result: Any, size: tuple[int, int]) -> None:
        """Write the mask that all bands share: each pixel is that of the source's under its center."""
        across = nearest(0, size[0], size[0], self._dataset.width)
        for top in range(0, size[1], _BLOCK):
            bottom = min(top + _BLOCK, size[1])
            down = nearest(top, bottom, size[1], self._dataset.height)
            first = int(down[0])
            hidden = self.groups[0].missing(first, int(down[-1]) + 1)
            if hidden is not None:
                window = rasterio().windows.Window(0, top, size[0], bottom - top)
                result.write_mask(~hidden[down - first][:, across], window=window)

    @property
    def has_alpha(self) -> bool:
        """Tell whether there is alpha, which is enlarged separately from the color."""
        return len(self.groups[0].numbers) == 4

    def memory(self, upscaler: Upscaler) -> int:
        """Return about how many bytes reading and writing need at most, in addition to the upscaler's."""
        width = upscaler.output_size(self._dataset.width, self._dataset.height)[0]
        sample = max(4 if group.dtype.kind in "fi" else group.dtype.itemsize for group in self.groups)
        channels = max(len(group.numbers) for group in self.groups)
        blocks = _BLOCK * width * sample * channels
        return _CACHE + 3 * blocks + 3 * 384 * self._dataset.width * sample * channels


def _in_blocks(bands: Iterator[Image]) -> Iterator[tuple[int, Image]]:
    """Yield the rows of all bands in portions of the height of a tile, each with its first row."""
    top, waiting = 0, 0
    pending: list[Image] = []
    for band in bands:
        at = 0
        while at < len(band):
            part = band[at : at + _BLOCK - waiting]
            at, waiting = at + len(part), waiting + len(part)
            pending.append(part)
            if waiting == _BLOCK:
                yield top, pending[0] if len(pending) == 1 else np.concatenate(pending)
                top, waiting, pending = top + waiting, 0, []
    if pending:
        yield top, np.concatenate(pending)


def _put(result: Any, group: BandGroup, top: int, rows: Image) -> None:
    window = rasterio().windows.Window(0, top, rows.shape[1], rows.shape[0])
    if rows.ndim == 2:
        result.write(rows, group.numbers[0], window=window)
        return
    planes = rows.transpose(2, 0, 1)[[2, 1, 0, 3][: rows.shape[2]]]
    result.write(np.ascontiguousarray(planes), list(group.numbers), window=window)
