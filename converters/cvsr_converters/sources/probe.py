"""Find by trial what a file does not state: channels and layout of inputs, layout and scale of outputs."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from cvsr.errors import ModelError
from cvsr_converters.facts import UNKNOWN, Facts
from cvsr_converters.original import Input
from cvsr_converters.sources.keras import graph

SIZES = (32, 48), (40, 64)  # both sides differ: an output that changes with them is an image
CHANNELS = (1, 3, 4)
_FACTORS = (2, 3, 4, 8, 1)


@dataclass(frozen=True)
class Output:
    """The layout of an output, NHWC, NCHW or None if it is not an image; its integer scale or None; its values."""

    layout: str | None
    scale: int | None
    array: np.ndarray


@dataclass(frozen=True)
class Form:
    """The inputs of a network, whether each is NCHW, and the :class:`Output` of each name."""

    inputs: list[Input]
    flips: list[bool]
    outputs: dict[str, Output]


def forms(dims):
    """Yield the possible (channels, whether NCHW) of an input with these dims, likeliest first; -1 is unknown."""
    if dims[3] in CHANNELS or (dims[3] > 0 and dims[1] not in CHANNELS):
        yield dims[3], False
    elif dims[1] in CHANNELS:
        yield dims[1], True
    else:
        yield from ((channels, False) for channels in CHANNELS)
        yield from ((channels, True) for channels in CHANNELS)


def candidates(images, scale=None):
    """Yield (list of Input, whether each is NCHW) for one or two images, given as {name: dims}; the smaller is first.

    ``scale`` is that of the network, if the user passed it.
    """
    if len(images) == 1:
        ((name, dims),) = images.items()
        for channels, flip in forms(dims):
            yield [Input(name, channels)], [flip]
        return
    one, two = images
    for factor in dict.fromkeys((scale, *_FACTORS) if scale else _FACTORS):
        for small, large in ((one, two), (two, one)):
            for first in forms(images[small]):
                for second in forms(images[large]):
                    yield [Input(small, first[0]), Input(large, second[0], factor)], [first[1], second[1]]


def find(make, tries, names):
    """Return the :class:`Form` of the first of ``tries`` that runs; raise ModelError if none does.

    ``make(inputs)`` returns a function from tensors to a list of tensors, one for each of ``names``.
    """
    failure = None
    for inputs, flips in tries:
        try:
            run = make(inputs)
            results = [[tensor.numpy() for tensor in run_at(run, inputs, flips, size)] for size in SIZES]
        except (tf.errors.OpError, ValueError, TypeError) as error:
            failure = failure or error
            continue
        return Form(
            inputs, flips, {name: _output(*two) for name, two in zip(names, zip(*results, strict=True), strict=True)}
        )
    reason = " ".join(str(failure).split("\n\nStack trace")[0].split())[:400]
    raise ModelError(
        f"the network does not run on an image of {SIZES[0][0]}x{SIZES[0][1]}: {reason}\n"
        "If its input size is fixed, export it again with dynamic height and width."
    )


def run_at(run, inputs, flips, size):
    """Return the outputs of ``run`` for random images of ``size``, the same ones each time."""
    random, tensors = np.random.default_rng(0), []
    for one, flip in zip(inputs, flips, strict=True):
        height, width = (n * one.factor for n in size)
        blob = random.random((1, height, width, one.channels), np.float32)
        tensors.append(tf.constant(blob.transpose(0, 3, 1, 2) if flip else blob))
    return run(*tensors)


def _output(first, second):
    """Return the :class:`Output` with these values at the two sizes."""
    changed = [axis for axis in range(first.ndim) if first.shape[axis] != second.shape[axis]]
    if first.ndim != 4 or changed not in ([1, 2], [2, 3]):
        return Output(None, None, first)
    (scale, *others) = {
        (second.shape[axis] - first.shape[axis]) / (large - small)
        for axis, small, large in zip(changed, *SIZES, strict=True)
    }
    whole = not others and scale == int(scale) >= 1
    return Output("NHWC" if changed == [1, 2] else "NCHW", int(scale) if whole else None, first)


def images(outputs, notes):
    """Return the names of those ``outputs``, {name: Output}, that are distinct images; list the others in ``notes``."""
    taken = {}
    for name in sorted(outputs):
        same = next((other for other in taken if np.array_equal(taken[other].array, outputs[name].array)), None)
        if outputs[name].layout is None:
            notes.append(f"output {name} is not an image and was dropped")
        elif same:
            notes.append(f"output {name} is the same as {same} and was dropped")
        else:
            taken[name] = outputs[name]
    if not taken:
        raise ModelError(f"none of these outputs is an image (N, H, W, C) or (N, C, H, W): {', '.join(outputs)}")
    scales = {name: output.scale for name, output in taken.items()}
    if len(set(scales.values())) > 1:
        notes.append("the outputs differ in scale: " + ", ".join(f"{name} x{scale}" for name, scale in scales.items()))
    return list(taken)


def original(run, form, taken, *, name, notes, facts=UNKNOWN):
    """Return the Original of ``run``, which maps tensors in the ``form`` to a list, one for each name in ``taken``.

    The scale found by trial takes precedence over the one in ``facts``.
    """
    flips_out = [form.outputs[output].layout == "NCHW" for output in taken]

    @tf.function
    def in_nhwc(*tensors):
        given = [tf.transpose(t, (0, 3, 1, 2)) if flip else t for t, flip in zip(tensors, form.flips, strict=True)]
        made = run(*given)
        for tensor in made:
            tensor.set_shape((None,) * 4)  # known by trial, even if TensorFlow cannot infer it
        pairs = zip(made, flips_out, strict=True)
        return dict(zip(taken, [tf.transpose(t, (0, 2, 3, 1)) if flip else t for t, flip in pairs], strict=True))

    facts |= Facts(scale=form.outputs[taken[0]].scale or None)
    return graph.original(in_nhwc, inputs=form.inputs, name=name, facts=facts, notes=notes)
