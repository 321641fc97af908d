"""Merge zero padding into the convolution after it.

    x ── Pad (zeros) ── Conv ── y      →      x ── Conv (pads) ── y

Padding that reflects or repeats the image stays a Pad.
"""


def run(graph):
    for node in [n for n in graph.nodes if n.op == "Pad"]:
        pads = _zeros(node, graph)
        value = node.outputs[0]
        readers = graph.consumers(value)
        if pads is None or value in graph.outputs or not readers or not all(_takes(r, value, pads) for r in readers):
            continue
        for conv in readers:
            own = conv.attrs.get("pads", [0, 0, 0, 0])
            conv.attrs["pads"] = [a + b for a, b in zip(own, pads, strict=True)]
            conv.attrs.pop("auto_pad", None)
        graph.bypass(node)


def _zeros(node, graph):
    """Return [top, left, bottom, right] of a Pad with zeros around 4-D images, or None."""
    pads, value = graph.array(node, 1), graph.array(node, 2)
    if node.attrs.get("mode", "constant") != "constant" or pads is None or pads.size != 8:
        return None
    if len(node.inputs) > 2 and node.inputs[2] and (value is None or value.any()):
        return None
    batch, channels, *before, last, depth = *pads.tolist()[:4], *pads.tolist()[4:6]
    after = pads.tolist()[6:]
    return None if batch or channels or last or depth or min(*before, *after) < 0 else [*before, *after]


def _takes(reader, value, pads):
    if reader.op != "Conv" or reader.inputs.count(value) != 1 or reader.inputs[0] != value:
        return False
    return reader.attrs.get("auto_pad", "NOTSET") in ("NOTSET", "VALID")
