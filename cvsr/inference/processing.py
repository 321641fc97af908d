"""Convert a tile's pixels to network input and back: color, range, mean, skip connection, pixel shuffle."""

from typing import Any, cast

import numpy as np

from cvsr._cv2 import cv2
from cvsr.image import PEAK, Image
from cvsr.image.resample import cubic
from cvsr.image.tiles import spans
from cvsr.modelfiles.info import ModelInfo

CHROMA_HALO = 2  # pixels that bicubic interpolation reads on each side
_BLOCK = 256


def blob(tile: Image, info: ModelInfo) -> Image:
    """Return the network's input, float32 (1, C, h, w), of a tile (h, w) or (h, w, 3) BGR, uint8 or float32."""
    if info.color in _YCC and tile.dtype == np.uint8:  # chroma rounded to 8 bits could end two steps off
        tile = tile * np.float32(1 / 255)
    factor = info.range / PEAK[tile.dtype.name]
    if info.color == "luma":
        gray = tile if tile.ndim == 2 else cv2.extractChannel(ycrcb(tile), 0)
        channels = [gray]
    else:
        color = cv2.cvtColor(tile, cv2.COLOR_GRAY2BGR) if tile.ndim == 2 else tile
        channels = _reordered(list(cv2.split(ycrcb(color) if info.color in _YCC else color)), info)
    planes = np.empty((1, len(channels), *tile.shape[:2]), np.float32)
    for i, channel in enumerate(channels):
        np.multiply(channel, np.float32(factor), out=planes[0, i])
        if info.mean:
            planes[0, i] -= np.float32(info.mean[i])
    return planes


_YCC = ("ycrcb", "ycbcr")


def _reordered(channels: list[Image], info: ModelInfo) -> list[Image]:
    """Return the channels of BGR or YCrCb in the network's order, or the reverse: the swap is its own inverse."""
    first, second, third = channels
    if info.color == "ycbcr":
        return [first, third, second]
    return [third, second, first] if info.color == "rgb" else channels


def inputs(fed: Image, info: ModelInfo, exact: bool) -> list[Image]:
    """Return the network's inputs for ``fed`` = ``blob(tile)``: itself, its enlargement, or both."""
    if info.inputs == "image":
        return [fed]
    large = upsampled(fed[0].transpose(1, 2, 0), info, exact)
    large = np.ascontiguousarray(large.reshape(*large.shape[:2], -1).transpose(2, 0, 1))[None]
    return [large] if info.inputs == "bicubic" else [fed, large]


def image(output: Image, fed: Image, tile: Image, keep: tuple[slice, slice], info: ModelInfo, exact: bool) -> Image:
    """Return the upscaled pixels of a tile's kept part in its channels: uint8 if the tile is, else float32 in 0..1.

    ``output``: the network's output for ``fed`` = ``blob(tile)``; ``keep``: the rows and columns of the tile to keep.
    Color is computed in floats and rounded once, at the end.
    """
    plain = info.color == "luma" and tile.ndim == 2
    rounded = info.color == "luma" and info.chroma == "dnn_superres" and tile.dtype == np.uint8
    dtype = tile.dtype.name if plain or rounded else "float32"
    channels = [_channel(output, fed, i, keep, info, dtype) for i in range(info.channels)]
    if plain:
        return channels[0]
    if rounded:
        return _recolored_in_8_bits(channels[0], tile, keep, info)
    if info.color == "luma":
        color = _recolored(channels[0], tile, keep, info, exact)
    else:
        color = cv2.merge(_reordered(channels, info))
        color = cv2.cvtColor(color, cv2.COLOR_YCrCb2BGR) if info.color in _YCC else color
    if tile.ndim == 2:
        color = _luma(color)
    return stored(color, tile.dtype.name)


def _channel(output: Image, fed: Image, index: int, keep: tuple[slice, slice], info: ModelInfo, dtype: str) -> Image:
    """Return one channel of the result, (h * s, w * s), in ``dtype``."""
    s = info.scale
    mean = np.float32(info.mean[index]) if info.mean else None
    if info.tail == "image":
        rows, columns = (slice(k.start * s, k.stop * s) for k in keep)
        whole = output[0, index, rows, columns]
        return stored((whole if mean is None else whole + mean) * np.float32(1 / info.range), dtype)
    base = fed[0, index][keep] if info.skip == "nearest" else None
    planes: list[Image] = []
    for k in range(s * s):
        plane = output[0, index * s * s + k][keep]
        plane = plane if base is None else cv2.add(plane, base)
        plane = plane if mean is None else plane + mean
        # stored before the shuffle: a quarter of the bytes to move if they are 8 bits
        planes.append(stored(plane if info.range == 1 else plane * np.float32(1 / info.range), dtype))
    return shuffle(planes, s)


def stored(pixels: Image, dtype: str) -> Image:
    """Return pixels in 0..1 as an image's dtype, rounded and saturated."""
    peak = PEAK[dtype]
    if dtype == "uint8":
        flat = np.ascontiguousarray(pixels).reshape(pixels.shape[0], -1)  # else the factor applies to one channel
        return cv2.multiply(flat, cast("Any", peak), dtype=cv2.CV_8U).reshape(pixels.shape)
    pixels = np.clip(pixels, 0, 1)
    return pixels if peak == 1 else np.rint(pixels * np.float32(peak)).astype(dtype)


def ycrcb(bgr: Image) -> Image:
    """Return BGR, uint8 or float32 0..1, as YCrCb, BT.601 full range, in the same dtype (chroma around a half)."""
    if bgr.dtype == np.uint8:
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2YCrCb)
    y, half = _luma(bgr), np.float32(0.5)
    b, r = bgr[:, :, 0], bgr[:, :, 2]
    return np.dstack((y, (r - y) * np.float32(0.713) + half, (b - y) * np.float32(0.564) + half))


def _luma(bgr: Image) -> Image:
    """Return the luma of float32 BGR, BT.601."""
    # cvtColor fuses multiply and add in vectors but not at a row's end, so a tile would differ from the whole image
    b, g, r = (bgr[:, :, i] for i in range(3))
    return b * np.float32(0.114) + g * np.float32(0.587) + r * np.float32(0.299)


def shuffle(planes: list[Image], scale: int) -> Image:
    """Return (h * s, w * s) from s² planes (h, w): plane r * s + c holds row r and column c of each s x s block.

    Merging the planes of a row directly into every s-th row of the result is several times faster than a transpose.
    """
    if scale == 1:
        return planes[0]
    height, width = planes[0].shape
    result = np.empty((height, scale, width, scale), planes[0].dtype)
    for r in range(scale):
        cv2.merge(planes[r * scale : (r + 1) * scale], result[:, r])
    return result.reshape(height * scale, width * scale)


def _recolored(luma: Image, tile: Image, keep: tuple[slice, slice], info: ModelInfo, exact: bool) -> Image:
    """Return float32 BGR from upscaled luma and the tile's interpolated chroma."""
    around, kept = _around(keep, info)
    # in floats from here: OpenCV versions interpolate 8 bits differently, and two roundings would add up
    chroma = ycrcb(tile[around])[:, :, 1:]
    if tile.dtype == np.uint8:  # neutral chroma is 128 in 8 bits but 0.5 in floats, which is not 128 / 255
        chroma = (chroma - np.float32(128)) * np.float32(1 / 255) + np.float32(0.5)
    chroma = upsampled(chroma, info, exact)[kept]
    return cv2.cvtColor(cv2.merge([luma, chroma]), cv2.COLOR_YCrCb2BGR)


def _recolored_in_8_bits(luma: Image, tile: Image, keep: tuple[slice, slice], info: ModelInfo) -> Image:
    """Return uint8 BGR as OpenCV's dnn_superres computes it: chroma is rounded before and after interpolation.

    Exact halves are common there, and their rounding depends on the last bit: only the same steps give the same result.
    """
    around, kept = _around(keep, info)
    channels = [luma]
    for chroma in cv2.split(ycrcb(tile[around]))[1:]:
        large = upsampled(chroma * np.float32(1 / 255), info, exact=False)
        channels.append(cv2.convertScaleAbs(large[kept], alpha=255))
    return cv2.cvtColor(cv2.merge(channels), cv2.COLOR_YCrCb2BGR)


def _around(keep: tuple[slice, slice], info: ModelInfo) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the pixels of a tile to interpolate chroma from, and the part of the result to keep."""
    rows, columns = (slice(max(0, k.start - CHROMA_HALO), k.stop + CHROMA_HALO) for k in keep)
    s = info.scale
    starts = (keep[0].start - rows.start) * s, (keep[1].start - columns.start) * s
    height, width = ((k.stop - k.start) * s for k in keep)
    return (rows, columns), (slice(starts[0], starts[0] + height), slice(starts[1], starts[1] + width))


def upsampled(picture: Image, info: ModelInfo, exact: bool) -> Image:
    """Return a float32 ``picture`` (h, w, C) enlarged with the model's interpolation for chroma.

    A tile's result can differ from the whole image's in the last bit, because ``cv2.resize`` rounds differently in
    vectors and at a row's end; ``exact`` uses a slower method without this difference.
    """
    if exact:
        tall = _stretched(picture, info)
        return _stretched(tall.swapaxes(0, 1), info).swapaxes(0, 1)
    method = cv2.INTER_CUBIC if info.chroma == "bicubic" else cv2.INTER_LINEAR
    height, width = picture.shape[:2]
    s = info.scale
    if s & (s - 1) == 0 or max(height, width) <= _BLOCK:
        return cv2.resize(picture, None, fx=s, fy=s, interpolation=method)
    # cv2.resize computes positions in float32 from the left edge: at thirds they drift to the right, less so in blocks
    result = np.empty((height * s, width * s, *picture.shape[2:]), picture.dtype)
    for rows in spans(height, _BLOCK, CHROMA_HALO):
        for columns in spans(width, _BLOCK, CHROMA_HALO):
            block = cv2.resize(picture[rows.feed, columns.feed], None, fx=s, fy=s, interpolation=method)
            y, x = (slice(span.keep.start * s, span.keep.stop * s) for span in (rows, columns))
            result[rows.start * s : rows.stop * s, columns.start * s : columns.stop * s] = block[y, x]
    return result


def taps(phase: int, scale: int, method: str) -> Image:
    """Return the weights of the five pixels around one for the ``phase``-th of its ``scale`` output pixels.

    ``method``: "bicubic" as in OpenCV; everything else is bilinear.
    """
    at = np.arange(-CHROMA_HALO, CHROMA_HALO + 1) - ((phase + 0.5) / scale - 0.5)
    found = cubic(at, a=-0.75) if method == "bicubic" else np.maximum(0, 1 - np.abs(at))
    return found / found.sum()


def _stretched(picture: Image, info: ModelInfo) -> Image:
    """Return a float picture ``scale`` times as tall: a sum of five shifted copies for each phase."""
    height, scale = picture.shape[0], info.scale
    padded = np.concatenate([picture[:1]] * 2 + [picture] + [picture[-1:]] * 2)
    result = np.empty((height, scale, *picture.shape[1:]), np.float32)
    for phase in range(scale):
        weights = taps(phase, scale, info.chroma).astype(np.float32)
        result[:, phase] = sum(weight * padded[i : i + height] for i, weight in enumerate(weights))
    return result.reshape(height * scale, *picture.shape[1:])
