"""Find out what the runtime must know of a network: from what is given, what its file says, and by trying."""

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
    """An original that takes and gives images as the runtime has them, the ``facts`` of it, and how they are known."""

    original: Original
    facts: Facts
    notes: list[str]


def understand(original, given, output=None, hint=""):
    """Return the :class:`Understood` of an original.

    ``given`` are facts that the user states (fields of :class:`cvsr.ModelInfo`), which overrule the file's own;
    ``output`` is the name of the output to take. Raises ModelError where something is missing or contradicts the rest.
    """
    facts = original.facts | given
    notes = list(original.notes)
    found = probe_shapes.find(original, output)
    if len(original.outputs) > 1:
        others = ", ".join(name for i, name in enumerate(original.outputs) if i != found.output)
        notes.append(f"the output {original.outputs[found.output]} is taken; left out: {others}")
        original = adapters.selected(original, found.output)
    if found.margin:
        notes.append(
            f"its convolutions lose {found.margin} pixels at each border: the image is reflected there before them"
        )
        original = adapters.padded(original, found.margin)
    facts |= _scale(original, found, facts, given.scale, f"{hint} {original.name}", notes)
    if found.multiple > 1:
        facts |= Facts(multiple=math.lcm(found.multiple, facts.multiple or 1))
    original, facts = _colors(original, found, facts, hint, notes)
    return Understood(original, facts, notes)


def _scale(original, found, facts, wanted, hint, notes):
    """Return the facts scale, inputs and tail; ``wanted`` is the scale that the user states."""
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
                "only an image and its enlargement to the size of the result can be fed"
            )
        return Facts(scale=scale, inputs="image,bicubic", tail=tail)
    if len(original.inputs) > 2:
        raise ModelError(f"the network has {len(original.inputs)} inputs; an image, and its enlargement, can be fed")
    if scale == 1:
        enlarged = wanted or facts.scale or _named(hint, notes)
        return Facts(scale=enlarged, inputs="bicubic" if enlarged > 1 else "image", tail=tail)
    if wanted not in (None, scale):
        raise ModelError(f"the network enlarges by {scale}, not by {wanted}: leave --scale away")
    return Facts(scale=scale, inputs="image", tail=tail)


def _named(hint, notes):
    """Return the scale that the names of a model speak of; raise ModelError if they do not."""
    found = re.search(r"(?<![a-z0-9])x([2-9])(?![0-9])|(?<![0-9])([2-9])x(?![a-z0-9])", hint.lower().replace("_", " "))
    if not found:
        raise ModelError(
            "the network's result is as large as its input, so it takes an image that is enlarged already: say by how "
            "much (--scale 2), or --scale 1 for a network that does not enlarge"
        )
    scale = int(found[1] or found[2])
    notes.append(
        f"its result is as large as its input, so it takes an image enlarged before; by {scale}, says its name"
    )
    return scale


def _colors(original, found, facts, hint, notes):
    """Return the original, brought to one range, and the facts with its color and range."""
    channels = original.inputs[0].channels
    if facts.color and facts.range:
        if channels not in (1, 3) or (channels == 1) != (facts.color == "luma"):
            raise ModelError(f"the network has {channels} channels, which are not {facts.color}")
        return original, facts
    if facts.mean:
        raise ModelError("the mean is known, and the color or the range is not: pass --color and --range too")
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
