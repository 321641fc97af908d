"""Detect by trial what a network does to the size of an image: its scale, lost border and required multiple."""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from cvsr.errors import ModelError

MULTIPLES = (1, 2, 3, 4, 6, 8, 12, 16, 32, 64)
SIDE = 37  # prime; rounded up for networks that need multiples


@dataclass(frozen=True)
class Shapes:
    """The result of :func:`find`.

    ``output``: its index among the original's outputs. ``scale``: its size over that of the first input, before any
    shuffle by the host. ``margin``: input pixels that each side of the output lacks ("valid" padding). ``multiple``:
    the sides must be multiples of it. ``channels``: those of the output.
    """

    output: int
    scale: int
    margin: int
    multiple: int
    channels: int


def find(original, output=None):
    """Return the :class:`Shapes` of an :class:`~cvsr_converters.original.Original`; raise ModelError.

    ``output``: the name of the output to use; by default the largest, and of equally large ones the last.
    """
    chosen = _index(original, output)
    problem, sizes, shapes = None, (), []
    for multiple in MULTIPLES:
        side = multiple * math.ceil(SIDE / multiple)
        sizes = (side, side + 3 * multiple), (side + 2 * multiple, side + multiple)
        try:
            results = [run_zeros(original, size) for size in sizes]
        except Exception as error:  # frameworks raise various errors if a size does not fit
            problem = problem or error
            continue
        place = _largest(results) if chosen is None else chosen
        if any(result[place].ndim != 4 for result in results):
            raise ModelError(f"the output {original.outputs[place]!r} is not an image: name another one with --outputs")
        shapes = [result[place].shape for result in results]
        found = _relation(sizes, shapes)
        if found:
            return Shapes(place, *found, multiple, results[0][place].shape[1])
    if problem is not None:
        said = " ".join(str(problem).split())[:400]
        raise ModelError(f"the network failed at every size that was tried: {said}")
    raise ModelError(
        f"the network turns images of {_words(sizes)} (height x width) into "
        f"{_words([shape[2:] for shape in shapes])}: the scale must be a whole number, the same for both axes"
    )


def run_zeros(original, size):
    """Return the outputs for black images of ``size``."""
    blobs = [np.zeros((1, i.channels, *(n * i.factor for n in size)), np.float32) for i in original.inputs]
    return original.run(*blobs)


def _index(original, output):
    if output is None:
        return 0 if len(original.outputs) == 1 else None
    if output not in original.outputs:
        raise ModelError(f"the network has no output {output!r}; it has {', '.join(original.outputs)}")
    return original.outputs.index(output)


def _largest(results):
    images = [i for i, result in enumerate(results[0]) if result.ndim == 4]
    if not images:
        raise ModelError("no output of the network is an image")
    return max(images, key=lambda i: (results[0][i].shape[2], i))


def _relation(sizes, shapes):
    """Return (scale, margin) if out = scale * (in - 2 * margin) on both axes, else None."""
    (first, second), (one, two) = sizes, (shape[2:] for shape in shapes)
    scales = {Fraction(b - a, d - c) for a, b, c, d in zip(one, two, first, second, strict=True)}
    if len(scales) != 1 or (scale := scales.pop()).denominator != 1 or scale < 1:
        return None
    lost = {scale * n - m for n, m in zip((*first, *second), (*one, *two), strict=True)}
    margin = Fraction(lost.pop(), 2 * scale)
    if lost or margin < 0 or margin.denominator != 1:
        return None
    return int(scale), int(margin)


def _words(sizes):
    return " and ".join("x".join(map(str, size)) for size in sizes)
