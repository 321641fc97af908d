"""Replace pixel shuffles and transposed convolutions by operations that every OpenCV computes fast and correctly.

Used by the importer of frozen graphs and by the converters.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Steps = tuple[list[int], list[int], list[int], list[int], list[int], list[int]]


def by_channels(channels: int, s: int) -> Steps:
    """Return the steps that shuffle planes (1, C s s, H, W) in the order (channel, row, column).

    They alternate between shapes and permutations. In a shape, 0 keeps a size, and -1 stands for the remaining one.
    """
    return [-1, s, 0, 0], [2, 0, 3, 1], [0, channels, s, -1], [1, 0, 2, 3], [0, -1, 1, 0], [2, 0, 1, 3]


def by_pixels(channels: int, s: int) -> Steps:
    """Return the same for planes (1, s s C, H, W) in the order (row, column, channel)."""
    return [s, -1, 0, 0], [2, 0, 1, 3], [-1, s, channels, 0], [2, 0, 3, 1], [0, 0, -1, 1], [3, 0, 1, 2]


def phases(weight: NDArray[Any], s: int, begin: tuple[int, int]) -> tuple[NDArray[np.float32], list[int]]:
    """Return the convolution that computes a transposed one of stride ``s`` as planes (channel, row, column).

    ``weight``: (Cin, C, kh, kw); ``begin``: the pixels cropped from the result's top and left. The result is a kernel
    (C * s², Cin, h, w) and its padding [top, left, bottom, right].
    """
    taps = [_taps(weight.shape[2 + axis], s, begin[axis]) for axis in (0, 1)]
    low = [min(0, *(offset for offsets in along for offset in offsets)) for along in taps]
    high = [max(0, *(offset for offsets in along for offset in offsets)) for along in taps]
    ins, outs = weight.shape[:2]
    size = [h - w + 1 for h, w in zip(high, low, strict=True)]
    kernel = np.zeros((outs, s, s, ins, *size), np.float32)
    for row, rows in enumerate(taps[0]):
        for column, columns in enumerate(taps[1]):
            for i, k in rows.items():
                for j, m in columns.items():
                    kernel[:, row, column, :, i - low[0], j - low[1]] = weight[:, :, k, m].T
    return kernel.reshape(outs * s * s, *kernel.shape[3:]), [-low[0], -low[1], high[0], high[1]]


def _taps(size: int, s: int, begin: int) -> list[dict[int, int]]:
    """Return, for each phase, {offset of the input pixel: tap of the kernel}."""
    # y[s * q + phase] includes x[i] * w[k] if s * i + k - begin = s * q + phase, so the offset is i - q
    found: list[dict[int, int]] = []
    for phase in range(s):
        ks = [k for k in range(size) if (phase + begin - k) % s == 0]
        found.append({(phase + begin - k) // s: k for k in ks})
    return found
