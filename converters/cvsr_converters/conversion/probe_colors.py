"""Find out by looking what colors a network takes and gives, and in which range of numbers.

A super-resolved photo, made small again, is the photo. So every way to feed the network is tried on a real one, and the
one whose result comes nearest is taken; how far the next best is off says how sure that is. The photo is a piece of a
portrait of an astronaut by NASA, in the public domain.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from cvsr.errors import ModelError
from cvsr.modelfiles.info import Color

PHOTO = Path(__file__).with_name("photo.png")
COLORS: dict[int, tuple[Color, ...]] = {1: ("luma",), 3: ("rgb", "bgr", "ycbcr", "ycrcb")}
RANGES = {"0..1": (1.0, 0.0), "0..255": (255.0, 0.0), "-1..1": (2.0, -1.0)}  # of a value 0..1: factor, offset
USUAL = ("luma", "rgb", "bgr", "ycbcr", "ycrcb")
# By how much the error of the usual color must be larger than that of another for that one to be taken
CLEAR = 1.1
# By how much that of the usual range: next to nothing, for no range is as usual as RGB
SAME = 1.001
# Chroma has less detail than color to get wrong: a network of RGB is often less far off where it is fed YCbCr
DOUBT = 2.0
HOPELESS = 0.15  # no picture: half of what a flat gray one would be off


@dataclass(frozen=True)
class Look:
    """How to feed a network: its ``color``, its ``range`` on both sides, and ``said``, how that is known.

    ``range``: 1 or 255 where both sides have it; else 1, after ``incoming`` and ``outgoing``, each (factor, offset),
    have brought the network to 0..1 on both sides.
    """

    color: Color
    range: float
    incoming: tuple[float, float]
    outgoing: tuple[float, float]
    said: str


@dataclass(frozen=True)
class Try:
    """One way to feed the network, and how far off its result was (RMS, white being 1)."""

    color: Color
    fed: str
    given: str
    error: float


def find(run, shapes, *, enlarge=1, color=None, range=None, hint=""):
    """Return the :class:`Look` of a network; ``run`` is its function, ``shapes`` what is known of its sizes.

    ``enlarge``: by how much the host enlarges what it feeds. ``color`` and ``range`` are what is known already;
    ``hint`` are words that may name a color. Raises ModelError where the channels fit no color.
    """
    colors = COLORS.get(shapes.channels)
    if colors is None:
        raise ModelError(f"the network has images of {shapes.channels} channels: 1 (luma) or 3 (a color) can be used")
    if color is not None and color not in colors:
        raise ModelError(f"the network has {shapes.channels} channels, which are not {color}: {' or '.join(colors)}")
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
    """Return the try with the least error: another than 0..1 or 0..255 on both sides only if it is clearly better."""
    usual = [t for t in tries if t.fed == t.given and t.fed != "-1..1"]
    least = min(attempt.error for attempt in usual)
    best = min((attempt for attempt in usual if attempt.error <= least * SAME), key=_rank)
    return min([best, *(attempt for attempt in tries if attempt.error * CLEAR < least)], key=lambda t: t.error)


def enlarged(blob, factor):
    """Return (1, C, H, W) as much larger, by bicubic interpolation."""
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
        raise ModelError(f"the network loses {margin} pixels on each side, more than the photo that it is tried on has")
    return cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _planes(bgr, color):
    """Return (C, H, W) in the colors of the network, 0..1."""
    if color.startswith("y"):
        bgr = cv2.cvtColor(bgr, cv2.COLOR_BGR2YCrCb)
    channels = cv2.split(bgr)
    order = {"luma": (), "rgb": (2, 1, 0), "ycbcr": (0, 2, 1)}.get(color, (0, 1, 2))
    return np.stack([channels[i] for i in order]) if order else cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)[None]


def _error(picture, photo, color):
    """Return how far a result, (H, W, C) in the network's colors, is from the photo once it is as small again."""
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
    """Return the order in which what is usual comes first: RGB before BGR, 0..1 before 0..255, equal sides."""
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
        said = f"tried on a photo: off by {100 * chosen.error:.1f} % of white"
        others = [t for t in tries if (t.color, t.fed, t.given) != (chosen.color, chosen.fed, chosen.given)]
        if others:
            other = min(others, key=lambda t: t.error)
            ratio = other.error / max(chosen.error, 1e-6)
            how = "sure" if ratio > 2 else "likely" if ratio > CLEAR else "a guess, it makes little difference"
            said += f", the next best ({_name(other)}) by {100 * other.error:.1f} %: {how}"
    said = f"{_name(chosen)} ({said})"
    if same:
        return Look(chosen.color, RANGES[chosen.fed][0], (1.0, 0.0), (1.0, 0.0), said)
    factor, offset = RANGES[chosen.given]
    return Look(chosen.color, 1.0, RANGES[chosen.fed], (1 / factor, -offset / factor), said)


def _name(attempt):
    ranges = attempt.fed if attempt.fed == attempt.given else f"{attempt.fed} in, {attempt.given} out"
    return f"{attempt.color} {ranges}"
