"""Cut off the end of a network that the runtime computes faster: limits, the pixel shuffle, a nearest skip.

    Conv ── DepthToSpace ── Clip 0..1 ── y                →    Conv ── y          tail = subpixel
    ConvTranspose (stride s) ── y                         →    Conv ── y          tail = subpixel
    Conv ── DepthToSpace ── Add ── y
    x ───── Resize nearest ──┘                            →    Conv ── y          tail = subpixel, skip = nearest

The host rounds to 8 bits before it shuffles, so it moves a quarter of the bytes.
"""

from cvsr_converters.facts import Facts
from cvsr_converters.passes import Graph, canonical
from cvsr_converters.passes.lower import subpixel
from cvsr_converters.passes.simplify import drop_dead


def cut(model, facts):
    """Return (model, facts, limited): the model without what the host does, its facts, and whether a limit was cut off.

    ``model``: from :func:`cvsr_converters.passes.simplify`, with one output. A limit is cut off if it is not tighter
    than the host's own, black and white.
    """
    graph, limited = Graph(model), False
    steps = _limit, _skip, _deconvolution, _shuffle
    while found := next(((step, result) for step in steps if (result := step(graph, facts))), None):
        limited |= found[0] is _limit
        facts = found[1]
        drop_dead.run(graph)
    for info in graph.types.values():
        for dim in info.type.tensor_type.shape.dim[1:]:
            dim.Clear()  # still the shape before the cut
    canonical.run(graph)
    return graph.to_model(), facts, limited


def _limit(graph, facts):
    """Cut off a Clip or Relu that the host's own limits make redundant."""
    last = graph.producer(graph.outputs[0])
    if last is None or any(facts.mean or ()) or facts.skip:
        return None
    if last.op == "Clip":
        limits = [graph.constants.get(name) for name in last.inputs[1:]]
        if len(limits) != 2 or any(limit is None for limit in limits):
            return None
        if float(limits[0]) > 0 or float(limits[1]) < facts.range:
            return None
    elif last.op != "Relu":
        return None
    return facts if graph.bypass(last) else None


def _skip(graph, facts):
    """Cut off the addition of the input, with repeated pixels, to a shuffle."""
    last = graph.producer(graph.outputs[0], "Add")
    if last is None or facts.tail == "subpixel":
        return None
    for value, other in (last.inputs, last.inputs[::-1]):
        shuffle, resize = graph.producer(value, "DepthToSpace"), graph.producer(other, "Resize")
        if shuffle is None or resize is None or not _fits(graph, shuffle, facts) or not _repeats(graph, resize, facts):
            continue
        if graph.only_feeds(value, last):
            last.inputs = [value]
            return facts | Facts(skip="nearest") if graph.bypass(last) else None
    return None


def _repeats(graph, resize, facts):
    scales = graph.constants.get(resize.inputs[2]) if len(resize.inputs) == 3 else None
    source = graph.inputs[0].name
    wanted = [1, 1, facts.scale, facts.scale]
    repeats = resize.attrs.get("mode") == "nearest" and resize.inputs[0] == source
    return repeats and scales is not None and list(scales) == wanted


def _deconvolution(graph, facts):
    """Replace a transposed convolution that ends the network by a convolution and a shuffle."""
    last = graph.producer(graph.outputs[0], "ConvTranspose")
    if last is None or _is_enlarged(facts) or last.attrs.get("strides", [1])[0] != facts.scale:
        return None
    return facts if subpixel.rewrite(last, graph) else None


def _shuffle(graph, facts):
    """Cut off the shuffle that ends the network."""
    last = graph.producer(graph.outputs[0], "DepthToSpace")
    if last is None or facts.tail == "subpixel" or not _fits(graph, last, facts):
        return None
    return facts | Facts(tail="subpixel") if graph.bypass(last) else None


def _is_enlarged(facts):
    return facts.inputs not in (None, "image")


def _fits(graph, shuffle, facts):
    """Return whether the shuffle is as the host's: by the full scale, with the planes ordered by channel."""
    if _is_enlarged(facts) or shuffle.attrs["blocksize"] != facts.scale:
        return False
    return shuffle.attrs.get("mode") == "CRD" and graph.producer(shuffle.inputs[0]) is not None
