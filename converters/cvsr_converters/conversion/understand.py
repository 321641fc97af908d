"""Collect the facts about a network that the runtime needs: from the user, from its file, and by trial."""

import math
import re
from dataclasses import dataclass

from cvsr.errors import ModelError
from cvsr_converters.conversion import adapters, probe_colors, probe_shapes
from cvsr_converters.facts import Facts
from cvsr_converters.original import Original
from cvsr_converters.proof import runtime_model


@dataclass
class Understood:
    """An original that takes and returns images as the runtime does, its ``facts``, and ``notes`` on their origin."""

    original: Original
    facts: Facts
    notes: list[str]


def understand(original, given, output=None, hint=""):
    """Return the :class:`Understood` of an original.

    ``given``: facts from the user (fields of :class:`cvsr.ModelInfo`), which override those in the file; ``output``:
    the name of the output to use. Raises ModelError if a fact is missing or contradicts the others.
    """
    facts = original.facts | given
    notes = list(original.notes)
    found = probe_shapes.find(original, output)
    if len(original.outputs) > 1:
        others = ", ".join(name for i, name in enumerate(original.outputs) if i != found.output)
        notes.append(f"using the output {original.outputs[found.output]}; ignored: {others}")
        original = adapters.selected(original, found.output)
    if found.margin:
        notes.append(f"its convolutions lose {found.margin} pixels at each border: the input is padded by reflection")
        original = adapters.padded(original, found.margin)
    facts |= _scale(original, found, facts, given.scale, f"{hint} {original.name}", notes)
    if found.multiple > 1:
        facts |= Facts(multiple=math.lcm(found.multiple, facts.multiple or 1))
    original, facts = _colors(original, found, facts, hint, notes)
    return Understood(original, facts, notes)


def _scale(original, found, facts, wanted, hint, notes):
    """Return the facts scale, inputs and tail; ``wanted`` is the scale from the user."""
    channels = original.inputs[0].channels
    planes = math.isqrt(found.channels // channels) if found.channels % channels == 0 else 0
    guessed = found.scale == 1 and planes > 1 and planes**2 * channels == found.channels
    subpixel = guessed or facts.tail == "subpixel"
    scale = planes if subpixel else found.scale
    tail = "subpixel" if subpixel else "image"
    if len(original.inputs) == 2:
        factor = original.inputs[1].factor
        if factor != scale:
            raise ModelError(
                f"the network enlarges by {scale}, and its second input is {factor} times as large as the first: "
                "two inputs must be an image and its enlargement to the size of the result"
            )
        return Facts(scale=scale, inputs="image,bicubic", tail=tail)
    if len(original.inputs) > 2:
        raise ModelError(f"the network has {len(original.inputs)} inputs; supported are an image and its enlargement")
    if scale == 1:
        enlarged = wanted or facts.scale or _named(hint, notes)
        return Facts(scale=enlarged, inputs="bicubic" if enlarged > 1 else "image", tail=tail)
    if wanted not in (None, scale):
        raise ModelError(f"the network enlarges by {scale}, not by {wanted}: omit --scale")
    return Facts(scale=scale, inputs="image", tail=tail)


def _named(hint, notes):
    """Return the scale in the names of a model; raise ModelError if there is none."""
    found = re.search(r"(?<![a-z0-9])x([2-9])(?![0-9])|(?<![0-9])([2-9])x(?![a-z0-9])", hint.lower().replace("_", " "))
    if not found:
        raise ModelError(
            "the network's result is as large as its input: pass the factor, such as --scale 2, if it takes an "
            "enlarged image, or --scale 1 if it does not enlarge"
        )
    scale = int(found[1] or found[2])
    notes.append(
        f"its result is as large as its input, so it takes an enlarged image; its name gives the factor {scale}"
    )
    return scale


def _colors(original, found, facts, hint, notes):
    """Return the original, converted to one range, and the facts with its color and range."""
    channels = original.inputs[0].channels
    if facts.color and facts.range:
        if channels not in (1, 3) or (channels == 1) != (facts.color == "luma"):
            raise ModelError(f"the network takes {channels} channels, not {facts.color}: pass another --color")
        return original, facts
    if facts.mean:
        raise ModelError("the mean is known, but not the color or the range: pass --color and --range, too")
    finish = runtime_model.finish(facts)
    seen = probe_shapes.Shapes(0, facts.scale, found.margin, found.multiple, channels)

    def run(blob):
        blobs = [blob] if len(original.inputs) == 1 else [blob, probe_colors.enlarged(blob, original.inputs[1].factor)]
        return finish(original.run(*blobs)[0], blobs)

    enlarge = facts.scale if facts.inputs == "bicubic" else 1
    seen_as = probe_colors.find(
        run, seen, enlarge=enlarge, color=facts.color, range=facts.range, hint=f"{hint} {original.name}"
    )
    notes.append(f"color and range: {seen_as.said}")
    facts |= Facts(color=seen_as.color, range=seen_as.range)
    return adapters.affine(original, seen_as.incoming, seen_as.outgoing), facts
