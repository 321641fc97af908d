"""Detect which colors a network takes and returns, and their range of values.

A super-resolved photo, reduced again, equals the photo. So a photo is fed to the network in every way, and the way with
the smallest error is chosen; the error of the second best tells how certain that is. The photo is a crop of a portrait
of an astronaut by NASA, in the public domain.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from cvsr.errors import ModelError
from cvsr.modelfiles.info import Color

PHOTO = Path(__file__).with_name("photo.png")
COLORS: dict[int, tuple[Color, ...]] = {1: ("luma",), 3: ("rgb", "bgr", "ycbcr", "ycrcb")}
RANGES = {"0..1": (1.0, 0.0), "0..255": (255.0, 0.0), "-1..1": (2.0, -1.0)}  # factor and offset, from 0..1
USUAL = ("luma", "rgb", "bgr", "ycbcr", "ycrcb")
# An unusual color is chosen only if the error of the usual one is this many times larger
CLEAR = 1.1
# The same for ranges: almost 1, because no range is as common as RGB is among the colors
SAME = 1.001
# Chroma has less detail to get wrong: an RGB network often has a smaller error if it is fed YCbCr
DOUBT = 2.0
HOPELESS = 0.15  # not an image: half the error of a flat gray one


@dataclass(frozen=True)
class Look:
    """How to feed a network: its ``color``, the ``range`` of its input and output, and ``said``, how these are known.

    ``range``: 1 or 255 if input and output share it; else 1, and ``incoming`` and ``outgoing``, each (factor, offset),
    convert both to 0..1.
    """

    color: Color
    range: float
    incoming: tuple[float, float]
    outgoing: tuple[float, float]
    said: str


@dataclass(frozen=True)
class Try:
    """One way to feed the network, and the RMS error of its result (white is 1)."""

    color: Color
    fed: str
    given: str
    error: float


def find(run, shapes, *, enlarge=1, color=None, range=None, hint=""):
    """Return the :class:`Look` of a network; ``run`` is its function, ``shapes`` the facts about its sizes.

    ``enlarge``: the factor by which the host enlarges its input. ``color`` and ``range``: if already known; ``hint``:
    text that may name a color. Raises ModelError if no color has this number of channels.
    """
    colors = COLORS.get(shapes.channels)
    if colors is None:
        raise ModelError(f"the network takes {shapes.channels} channels: only 1 (luma) and 3 (color) are supported")
    if color is not None and color not in colors:
        raise ModelError(f"the network takes {shapes.channels} channels, not {color}: use {' or '.join(colors)}")
    ranges = RANGES if range is None else {f"0..{range:g}": RANGES[f"0..{range:g}"]}
    tries = list(_tries(run, shapes, enlarge, (color,) if color else colors, ranges))

    def doubtful(attempt):
        strange = attempt.color.startswith("y") and attempt.color not in hint.lower() and color is None
        return attempt.error * (DOUBT if strange else 1)

    tries.sort(key=doubtful)
    if tries[0].error > HOPELESS:
        return _look(tries, min(tries, key=_rank), "no color or range gave a recognizable image: using the default")
    near = [attempt for attempt in tries if doubtful(attempt) <= CLEAR * max(doubtful(tries[0]), 1e-4)]
    color = min(near, key=lambda attempt: (attempt.color not in hint.lower(), USUAL.index(attempt.color))).color
    return _look(tries, _best_range([attempt for attempt in tries if attempt.color == color]), None)


def _best_range(tries):
    """Return the try with the smallest error; other ranges than 0..1 or 0..255 on both sides must be clearly better."""
    usual = [t for t in tries if t.fed == t.given and t.fed != "-1..1"]
    least = min(attempt.error for attempt in usual)
    best = min((attempt for attempt in usual if attempt.error <= least * SAME), key=_rank)
    return min([best, *(attempt for attempt in tries if attempt.error * CLEAR < least)], key=lambda t: t.error)


def enlarged(blob, factor):
    """Return (1, C, H, W) enlarged by ``factor``, by bicubic interpolation."""
    planes = [cv2.resize(p, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC) for p in blob[0]]
    return np.stack(planes)[None]


def _tries(run, shapes, enlarge, colors, ranges):
    photo = _photo(shapes.multiple, shapes.margin)
    for color in colors:
        planes = enlarged(_planes(photo, color)[None], enlarge)[0]
        for into, (a, b) in ranges.items():
            output = run((planes * np.float32(a) + np.float32(b))[None])[0]
            for out, (c, d) in ranges.items():
                picture = (output.transpose(1, 2, 0) - np.float32(d)) / np.float32(c)
                yield Try(color, into, out, _error(picture, photo, color))


def _photo(multiple, margin):
    """Return the photo, BGR 0..1, cut to the multiple that the network needs."""
    photo = cv2.imread(str(PHOTO), cv2.IMREAD_COLOR)
    assert photo is not None, "it is part of the package"
    height, width = (max(n - n % multiple, multiple) for n in photo.shape[:2])
    if height <= 2 * margin:
        raise ModelError(f"the test photo is too small for a margin of {margin} pixels: pass --color and --range")
    return cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _planes(bgr, color):
    """Return (C, H, W) in the colors of the network, 0..1."""
    if color.startswith("y"):
        bgr = cv2.cvtColor(bgr, cv2.COLOR_BGR2YCrCb)
    channels = cv2.split(bgr)
    order = {"luma": (), "rgb": (2, 1, 0), "ycbcr": (0, 2, 1)}.get(color, (0, 1, 2))
    return np.stack([channels[i] for i in order]) if order else cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)[None]


def _error(picture, photo, color):
    """Return the RMS error of a result, (H, W, C) in the network's colors, reduced to the size of the photo."""
    if not np.isfinite(picture).all():
        return float("inf")
    small = cv2.resize(picture, (photo.shape[1], photo.shape[0]), interpolation=cv2.INTER_AREA).clip(-1, 2)
    if color == "luma":
        return float(np.sqrt(np.mean((small - cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY)) ** 2)))
    order = {"rgb": (2, 1, 0), "ycbcr": (0, 2, 1)}.get(color, (0, 1, 2))
    bgr = np.ascontiguousarray(small[..., order], np.float32)
    bgr = cv2.cvtColor(bgr, cv2.COLOR_YCrCb2BGR) if color.startswith("y") else bgr
    return float(np.sqrt(np.mean((bgr - photo) ** 2)))


def _rank(attempt):
    """Return a sort key that puts the usual first: equal ranges, 0..1 before 0..255, RGB before BGR."""
    ranges = list(RANGES)
    return (
        attempt.fed != attempt.given,
        ranges.index(attempt.fed),
        USUAL.index(attempt.color),
        ranges.index(attempt.given),
    )


def _look(tries, chosen, said):
    same = chosen.fed == chosen.given and chosen.fed != "-1..1"
    if said is None:
        said = f"tried on a photo: error {100 * chosen.error:.1f} % of white"
        others = [t for t in tries if (t.color, t.fed, t.given) != (chosen.color, chosen.fed, chosen.given)]
        if others:
            other = min(others, key=lambda t: t.error)
            ratio = other.error / max(chosen.error, 1e-6)
            how = "certain" if ratio > 2 else "likely" if ratio > CLEAR else "a guess, but it makes little difference"
            said += f", next best {_name(other)} with {100 * other.error:.1f} %: {how}"
    said = f"{_name(chosen)} ({said})"
    if same:
        return Look(chosen.color, RANGES[chosen.fed][0], (1.0, 0.0), (1.0, 0.0), said)
    factor, offset = RANGES[chosen.given]
    return Look(chosen.color, 1.0, RANGES[chosen.fed], (1 / factor, -offset / factor), said)


def _name(attempt):
    ranges = attempt.fed if attempt.fed == attempt.given else f"{attempt.fed} in, {attempt.given} out"
    return f"{attempt.color} {ranges}"
