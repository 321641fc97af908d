"""Give Resize scales instead of sizes, and repeat pixels in the form that every OpenCV computes correctly.

    Resize (sizes 96,128; nearest, half_pixel)      →      Resize (scales 2,2; nearest, asymmetric, floor)

Sizes depend on the image. For whole scales, most variants of "nearest" select the same pixels, but only asymmetric +
floor is correct in all versions of OpenCV.
"""

import math

import numpy as np

ROUND = {
    "round_prefer_floor": lambda v: math.ceil(v - 0.5),
    "round_prefer_ceil": lambda v: math.floor(v + 0.5),
    "floor": math.floor,
    "ceil": math.ceil,
}
PLACE = {
    "half_pixel": lambda i, s: (i + 0.5) / s - 0.5,
    "pytorch_half_pixel": lambda i, s: (i + 0.5) / s - 0.5,
    "tf_half_pixel_for_nn": lambda i, s: (i + 0.5) / s,
    "asymmetric": lambda i, s: i / s,
}
FINEST = 8  # scales are multiples of 1/8
CTM = "coordinate_transformation_mode"
REPEAT = {"mode": "nearest", CTM: "asymmetric", "nearest_mode": "floor"}


def run(graph):
    shapes = None
    for node in [n for n in graph.nodes if n.op == "Resize"]:
        if len(node.inputs) == 4 and node.inputs[3]:
            shapes = shapes or graph.shapes()
            before, after = (np.array(shapes.get(name, ())) for name in (node.inputs[0], node.outputs[0]))
            if not before.size or before.shape != after.shape or not before.all() or (after * FINEST % before).any():
                continue  # not a simple fraction: the scale would depend on the size
            node.inputs = [node.inputs[0], "", graph.constant((after / before).astype(np.float32), node.outputs[0])]
            graph.note(node)
        elif len(node.inputs) == 3 and node.inputs[1] and "crop" not in node.attrs.get(CTM, ""):
            node.inputs[1] = ""  # the region of interest, which only tf_crop_and_resize reads
            graph.note(node)
        scales = graph.constants.get(node.inputs[2]) if len(node.inputs) == 3 else None
        if scales is not None and node.attrs != REPEAT and repeats(node.attrs, scales):
            node.attrs = dict(REPEAT)
            graph.note(node)


def repeats(attrs, scales):
    """Return whether a Resize with these attributes repeats every pixel of the input ``scales`` times."""
    place = PLACE.get(attrs.get(CTM, "half_pixel"))
    rounded = ROUND.get(attrs.get("nearest_mode", "round_prefer_floor"))
    if attrs.get("mode", "nearest") != "nearest" or place is None or rounded is None:
        return False
    if any(s != int(s) or s < 1 for s in scales):
        return False
    # a few periods in the middle; at the ends, positions are clamped to the first and last pixel
    return all(rounded(place(i, s)) == i // s for s in map(int, scales) for i in range(s, 4 * s))
