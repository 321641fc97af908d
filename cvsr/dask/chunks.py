"""Enlarge dask arrays of images lazily, chunk by chunk, with the result of the whole image.

>>> upscaler = cvsr.Upscaler("cvsr-small", 2, exact=True)
>>> cvsr.dask.upscale(dask.array.from_zarr("scene.zarr"), upscaler).to_zarr("scene_x2.zarr")

array ── windows (each chunk and its halo) ── networks ── chunks ── bands of rows ── resized
The last two steps are needed only for scales that the model does not reach by itself, such as 1.5.
"""

import functools
import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cvsr.dask import shipping
from cvsr.errors import ImageError, ModelError, OptionError, install_hint
from cvsr.image import Image, check, resample
from cvsr.image.fill import REACH, filled
from cvsr.image.tiles import Span
from cvsr.inference import plan, processing
from cvsr.inference.stages import Resized
from cvsr.upscaler import Upscaler

try:
    da: Any = importlib.import_module("dask.array")
    _config: Any = importlib.import_module("dask.config")
    _utils: Any = importlib.import_module("dask.utils")
except ImportError as error:
    raise OptionError(f"cvsr.dask needs dask ({error}): {install_hint('dask')}") from error

_FILL = REACH + REACH // 8  # invisible pixels take their color by OpenCV's distances, which are off by a few percent


def upscale(array: Any, upscaler: Upscaler, *, channels: bool | None = None) -> Any:
    """Return a dask array of images enlarged lazily, with the same dtype and number of axes.

    ``array``: images (..., H, W) or (..., H, W, C) in any chunks, with C = 1, 3 (BGR) or 4 (BGRA), of uint8, uint16 or
    float32 in 0..1; leading axes are those of a stack. ``channels``: whether the last axis is C; by default it is if
    its length is 1, 3 or 4. The result has the array's chunks, enlarged, or bands of rows if the networks do not reach
    the scale by themselves. If the upscaler has ``exact=True``, the result equals ``upscaler(image)`` bit for bit for
    any chunks. Chunks smaller than the receptive field (``upscaler.info.radius``) are slow, since their windows
    overlap. Each process loads the networks once. Raises ImageError, OptionError, ModelError.
    """
    axis = _first_axis(array, upscaler, channels)
    height, width = array.shape[axis : axis + 2]
    size = upscaler.output_size(width, height)
    factor = max(size[0] / width, size[1] / height) if upscaler.scale is None else upscaler.scale
    chain = [] if upscaler.interpolates else plan.chain(list(upscaler.models), factor)
    seen = _reach(upscaler, chain)
    if seen is None:
        return _whole(array, axis, upscaler, size)
    halo, multiple = seen
    alpha = array.ndim == axis + 3 and array.shape[-1] == 4
    if alpha:
        halo += _FILL
    enlarge = math.prod(chain)
    if chain:
        work = functools.partial(_enlarged, shipping.pack(upscaler, enlarge))
        array = _by_windows(array, axis, work, halo, multiple, enlarge)
    elif alpha:
        array = _by_windows(array, axis, _filled, halo, multiple, 1)
    return array if size == (width * enlarge, height * enlarge) else _resized(array, axis, size)


def _first_axis(array: Any, upscaler: Upscaler, channels: bool | None) -> int:
    """Check the arguments and return the axis of the rows."""
    if not isinstance(upscaler, Upscaler):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise OptionError(f"the second argument must be a cvsr.Upscaler, not {type(upscaler).__name__}")
    if not isinstance(array, da.Array):
        raise ImageError(f"not a dask array but {type(array).__name__}: use dask.array.from_array(image)")
    if any(math.isnan(n) for n in array.shape):
        raise ImageError(f"the array's shape, {array.shape}, is unknown: call array.compute_chunk_sizes() first")
    if channels is None:
        channels = array.ndim > 2 and array.shape[-1] in (1, 3, 4)
    axis = array.ndim - 2 - channels
    if axis < 0:
        raise ImageError(f"an array of images must have the shape (..., H, W) or (..., H, W, C), not {array.shape}")
    if 0 in array.shape:
        raise ImageError(f"the array is empty: its shape is {array.shape}")
    check(np.zeros((1, 1, *array.shape[axis + 2 :]), array.dtype))
    return axis


def _reach(upscaler: Upscaler, chain: Sequence[int]) -> tuple[int, int] | None:
    """Return the halo in pixels, and the multiple for windows' edges; None if the receptive field is not bounded."""
    if upscaler.interpolates or upscaler.engine == "superres":
        return None
    halo, multiple, scale = 0.0, 1, 1
    for step in chain:
        info = upscaler.models[step]
        if info.radius is None:
            return None
        halo += max(info.radius, processing.CHROMA_HALO) / scale
        multiple = math.lcm(multiple, info.multiple // math.gcd(info.multiple, scale))
        scale *= step
    return math.ceil(halo), multiple


def _whole(array: Any, axis: int, upscaler: Upscaler, size: tuple[int, int]) -> Any:
    """Return the array if each image must be enlarged as a whole."""
    if array.numblocks[axis : axis + 2] != (1, 1):
        raise ModelError(
            f"{upscaler.info.name} needs whole images, since its receptive field is unknown or global, but the array "
            f"has several chunks per image: call array.rechunk({{{axis}: -1, {axis + 1}: -1}}) first"
        )
    array = array.rechunk({axis + 2: -1}) if array.ndim == axis + 3 else array
    chunks = (*array.chunks[:axis], (size[1],), (size[0],), *array.chunks[axis + 2 :])
    return _mapped(array, functools.partial(_whole_block, axis=axis, data=shipping.pack(upscaler)), chunks)


def _whole_block(block: Image, *, axis: int, data: bytes) -> Image:
    return _each(block, axis, shipping.unpacked(data))


def _by_windows(array: Any, axis: int, work: Callable[[Image], Image], halo: int, multiple: int, scale: int) -> Any:
    """Apply ``work`` to each chunk and ``halo`` pixels around it; it enlarges by ``scale``."""
    both = [_spans(array.chunks[a], halo, multiple) for a in (axis, axis + 1)]
    for a, spans in zip((axis, axis + 1), both, strict=True):
        array = _windows(array, a, spans)
    array = array.rechunk({axis + 2: -1}, method="tasks") if array.ndim == axis + 3 else array
    rows, columns = (tuple((span.stop - span.start) * scale for span in spans) for spans in both)
    chunks = (*array.chunks[:axis], rows, columns, *array.chunks[axis + 2 :])
    kept = [np.array([(s.keep.start, s.keep.stop) for s in spans], np.int64) * scale for spans in both]
    return _mapped(array, functools.partial(_window_block, axis=axis, work=work, kept=kept), chunks)


def _spans(chunks: Sequence[int], halo: int, multiple: int) -> list[Span]:
    """Return each chunk of an axis with its halo, from one multiple of pixels to another."""
    stops = [int(stop) for stop in np.cumsum([n for n in chunks if n])]
    halo, size = multiple * math.ceil(halo / multiple), stops[-1]
    spans: list[Span] = []
    for start, stop in zip([0, *stops], stops, strict=False):
        begin = max(0, start // multiple * multiple - halo)
        spans.append(Span(start, stop, begin, min(size, math.ceil(stop / multiple) * multiple + halo)))
    return spans


def _windows(array: Any, axis: int, spans: Sequence[Span]) -> Any:
    """Return an array whose chunks along ``axis`` are the overlapping windows of the spans, one after the other."""
    parts = [array[(slice(None),) * axis + (span.feed,)] for span in spans]
    # "tasks": the other method, through workers' disks, starts over if a worker is lost
    return da.concatenate(parts, axis=axis).rechunk({axis: tuple(s.end - s.begin for s in spans)}, method="tasks")


def _window_block(
    block: Image,
    *,
    axis: int,
    work: Callable[[Image], Image],
    kept: Sequence[npt.NDArray[np.int64]],
    block_id: tuple[int, ...],
) -> Image:
    rows, columns = (slice(*keep[block_id[axis + i]]) for i, keep in enumerate(kept))
    return _each(block, axis, lambda image: work(image)[rows, columns])


def _enlarged(data: bytes, image: Image) -> Image:
    return shipping.unpacked(data)(image)


def _filled(image: Image) -> Image:
    return np.dstack((filled(image), image[:, :, 3]))


def _resized(array: Any, axis: int, size: tuple[int, int]) -> Any:
    """Return images resized to ``size`` = (width, height), in bands of whole rows, so that all sums round alike.

    The bands are about as large as ``array.chunk-size`` in dask's configuration.
    """
    height, width = array.shape[axis : axis + 2]
    row = size[0] * math.prod(array.shape[axis + 2 :]) * array.dtype.itemsize
    most = _utils.parse_bytes(_config.get("array.chunk-size", "128MiB"))
    step = max(1, int(most) // row // resample.BLOCK) * resample.BLOCK
    spans = [_under(height, size[1], start, min(start + step, size[1])) for start in range(0, size[1], step)]
    bands = _windows(array, axis, spans).rechunk(dict.fromkeys(range(axis + 1, array.ndim), -1), method="tasks")
    chunks = (*bands.chunks[:axis], tuple(s.stop - s.start for s in spans), (size[0],), *bands.chunks[axis + 2 :])
    places = np.array([(s.begin, s.start, s.stop) for s in spans], np.int64)
    work = functools.partial(_band_block, axis=axis, places=places, source=(width, height), size=size)
    return _mapped(bands, work, chunks)


def _under(n_in: int, n_out: int, start: int, stop: int) -> Span:
    """Return the rows ``start:stop`` of a resized image with the source rows that their filters read."""
    blocks = range(start, stop, resample.BLOCK)
    used = [resample.weights(n_in, n_out, a, min(a + resample.BLOCK, n_out)) for a in blocks]
    begin = min(first for first, _ in used)
    return Span(start, stop, begin, max(first + matrix.shape[1] for first, matrix in used))


def _band_block(
    block: Image,
    *,
    axis: int,
    places: npt.NDArray[np.int64],
    source: tuple[int, int],
    size: tuple[int, int],
    block_id: tuple[int, ...],
) -> Image:
    begin, start, stop = (int(n) for n in places[block_id[axis]])

    def resized(image: Image) -> Image:
        parts = [image[:, :, :3], image[:, :, 3]] if image.shape[2:] == (4,) else [image]
        if image.shape[2:] == (1,):
            parts = [image[:, :, 0]]
        bands = [Resized(_Rows(part, begin, source), size).rows(start, stop) for part in parts]
        return np.dstack(bands).reshape(stop - start, size[0], *image.shape[2:])

    return _each(block, axis, resized)


@dataclass
class _Rows:
    """A stage of ``size`` that has only the rows from ``begin``."""

    image: Image
    begin: int
    size: tuple[int, int]

    def rows(self, start: int, stop: int) -> Image:
        return self.image[start - self.begin : stop - self.begin]

    def edges(self) -> list[int]:
        return [self.size[1]]


def _each(block: Image, axis: int, work: Callable[[Image], Image]) -> Image:
    """Apply ``work`` to each image of a block, whose rows are ``axis``."""
    stack = block.shape[:axis]
    made = [work(block[index]) for index in np.ndindex(*stack)]
    return np.stack(made).reshape(*stack, *made[0].shape)


def _mapped(array: Any, work: Callable[..., Image], chunks: tuple[tuple[int, ...], ...]) -> Any:
    """Apply ``work`` to each chunk of an array."""
    meta = np.empty((0,) * array.ndim, array.dtype)
    return array.map_blocks(work, chunks=chunks, dtype=array.dtype, meta=meta, token="cvsr")
