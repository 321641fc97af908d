"""The ONNX file that needs no host: 8-bit BGR in, BGR out, for cv::dnn in C++, Java or JavaScript.

    BGR 0..255 ─┬─ color, range, mean ── network ── + skip, shuffle, mean ── limits ─┬─ color ── limits ── BGR 0..255
                └─ Cr, Cb ── enlarged (for luma networks) ───────────────────────────┘

The input is the default of ``cv::dnn::blobFromImage(image)``: float32 (1, 3, H, W) of BGR in 0..255. The output,
(1, 3, H * s, W * s), is clipped to 0..255 and not rounded; ``convertTo(CV_8U)`` rounds.

The result equals the runtime's, up to the border: interpolation is a fixed convolution of the image with repeated
edges, as in ``cv2.resize``, and for luma networks color is rounded to 8 bits exactly as in ``cv2.cvtColor``.
"""

from dataclasses import fields

import cv2
import numpy as np
from onnx import TensorProto, helper

from cvsr.errors import ModelError
from cvsr.inference import processing
from cvsr.modelfiles import subpixel
from cvsr.modelfiles.info import ModelInfo
from cvsr_converters import passes
from cvsr_converters.facts import DEFAULTS, Facts
from cvsr_converters.passes import canonical
from cvsr_converters.passes.graph import Graph
from cvsr_converters.passes.lower import shuffle
from cvsr_converters.targets import onnx, receptive_field
from cvsr_converters.targets.color_nodes import BGR, Ops, channels, colors

# as in cv2.cvtColor for 8 bits: Y from B, G, R; Cr and Cb from B, G, R and rounded Y; exact sums in float32
LUMA_8 = np.array([[1868, 9617, 4899]]) / 2**14
CHROMA_8 = np.array([[0, 0, 11682, -11682], [9241, 0, 0, -9241]]) / 2**14
KEPT = ("name", "multiple", "parameters", "license")  # facts for the file's metadata


def pack(model, facts):
    """Return the bytes of the file.

    ``model``: from :func:`cvsr_converters.conversion.trace.trace`, or the graph of an ONNX file for cvsr. ``facts``:
    the fields of :class:`cvsr.ModelInfo`; scale, color and range must be there. Raises ModelError if the network's
    inputs and output do not fit the facts.
    """
    facts = DEFAULTS | facts
    graph = Graph(passes.lower(model))
    _check(graph, facts)
    ops = _Ops(graph, facts.scale, facts.chroma)
    result = ops.named("bgr_large", _around(ops, [i.name for i in graph.inputs], graph.outputs[0], facts))
    graph.inputs = [helper.make_tensor_value_info("bgr", TensorProto.FLOAT, (1, 3, onnx.SIZE, onnx.SIZE))]
    graph.outputs, graph.types = [result], {result: helper.make_tensor_value_info(result, TensorProto.FLOAT, None)}
    graph.touch()
    canonical.run(graph)
    whole = Facts(kind="standalone", color="bgr", range=255, tail="image", scale=facts.scale)
    kept = {key: value for key, value in facts.known().items() if key in KEPT and value != 1}
    return onnx.pack(graph.to_model(), whole | Facts(radius=_radius(model, facts), **kept))


def host(run, facts):
    """Return what the file must compute, a function from blob to blob, for :func:`cvsr_converters.proof.verify.verify`.

    ``run``: of an :class:`~cvsr_converters.original.Original`, or returning one array; the rest is the runtime's.
    """
    known = {key: value for key, value in facts.known().items() if key in {f.name for f in fields(ModelInfo)}}
    info = ModelInfo(**{"name": "host", **known})

    def picture(blob):
        pixels = np.ascontiguousarray(blob[0].transpose(1, 2, 0))
        tile, chroma = pixels / np.float32(255), None
        if info.color == "luma":
            ycrcb = processing.ycrcb(pixels.astype(np.uint8)).astype(np.float32)
            tile, chroma = ycrcb[..., 0] / np.float32(255), (ycrcb[..., 1:] - 128) / np.float32(255)
        fed = processing.blob(tile, info)
        output = run(*processing.inputs(fed, info, exact=True))
        keep = slice(0, tile.shape[0]), slice(0, tile.shape[1])
        large = processing.image(output[0] if isinstance(output, list) else output, fed, tile, keep, info, exact=True)
        if chroma is not None:
            large = cv2.merge([large, processing.upsampled(chroma, info, exact=True) + np.float32(0.5)])
            large = np.clip(cv2.cvtColor(large, cv2.COLOR_YCrCb2BGR), 0, 1)
        return 255 * np.ascontiguousarray(large.transpose(2, 0, 1))[None]

    return picture


def draw(size, random):
    """Return the inputs of the file for a random image of ``size`` = (H, W)."""
    return [random.integers(0, 256, (1, 3, *size)).astype(np.float32)]


class _Ops(Ops):
    """Adds the further operations that a standalone file needs."""

    def __init__(self, graph, scale, method):
        super().__init__(graph, scale)
        self.method = method

    def limited(self, value, high):
        """Limit to 0..``high`` without Clip, which OpenCV 4.6 (Debian 12) does not support: x⁺ - (x⁺ - high)⁺."""
        positive = self.add("Relu", [value])
        over = self.add("Relu", [self.add("Add", [positive], [np.full((1, 1, 1, 1), -high, np.float32)])])
        return self.add("Sub", [positive, over])

    def rounded(self, value, matrix, offset=0):
        """Mix the channels of each pixel, add ``offset`` and round to 8 bits."""
        return self.limited(self.add("Floor", [self.mixed(value, matrix, [offset + 0.5] * len(matrix))]), 255)

    def shuffled(self, value, count):
        """Shuffle the scale² planes of each of ``count`` channels."""
        result = f"around.{len(self.graph.nodes)}"
        self.graph.nodes += shuffle.nodes_of(self.graph, value, result, subpixel.by_channels(count, self.scale))
        return result

    def enlarged(self, value, count):
        """Enlarge by interpolation with repeated edges."""
        phases = np.array([processing.taps(phase, self.scale, self.method) for phase in range(self.scale)])
        kernel = np.einsum("ri,cj->rcij", phases, phases).reshape(-1, 1, *phases.shape[1:] * 2)
        kernel = np.tile(kernel, (count, 1, 1, 1)).astype(np.float32)
        halo = processing.CHROMA_HALO
        padded = self.add("Pad", [value], [np.array([0, 0, halo, halo] * 2)], mode="edge")
        phases = self.add("Conv", [padded], [kernel], kernel_shape=list(kernel.shape[2:]), group=count)
        return self.shuffled(phases, count)


def _around(ops, inputs, output, facts):
    """Add everything before and after the network, which computes ``output`` from ``inputs``; return the result."""
    count, white = channels(facts), facts.range
    luma = ops.rounded("bgr", LUMA_8) if count == 1 else None
    fed = _feed(ops, inputs, luma, facts)
    large = output
    if facts.tail == "subpixel":
        if facts.skip == "nearest":
            large = ops.plus_nearest(large, fed, count)
        large = ops.shuffled(large, count)
    if facts.mean:
        large = ops.mixed(large, np.eye(count), facts.mean)
    large = ops.limited(large, white)
    if luma:
        chroma = ops.rounded(ops.add("Concat", ["bgr", luma], axis=1), CHROMA_8, 128)
        large = ops.add("Concat", [large, ops.enlarged(chroma, 2)], axis=1)
        return ops.limited(ops.mixed(large, BGR * [255 / white, 1, 1], BGR @ [0, -128, -128]), 255)
    _, offset, inverse = colors(facts.color)
    return ops.limited(ops.mixed(large, inverse * 255 / white, -inverse @ offset * 255), 255)


def _feed(ops, inputs, luma, facts):
    """Compute the network's inputs from "bgr" or ``luma``, both 0..255; return the one that is not enlarged."""
    white, mean = facts.range, np.array(facts.mean or [0])
    if luma:
        fed = ops.mixed(luma, [[white / 255]], -mean)
    else:
        rows, offset, _ = colors(facts.color)
        fed = ops.mixed("bgr", rows * white / 255, offset * white - mean)
    for name, kind in zip(inputs, facts.inputs.split(","), strict=True):
        if kind == "image":
            fed = ops.named(name, fed)
        else:
            ops.named(name, ops.enlarged(fed, channels(facts)))
    return fed


def _check(graph, facts):
    """Raise ModelError if the graph contradicts the facts."""
    missing = [key for key in ("scale", "color", "range") if not getattr(facts, key)]
    if missing:
        raise ModelError(f"a standalone file needs the network's {', '.join(missing)}: pass the missing facts")
    shapes, s, count = graph.shapes(), facts.scale, channels(facts)
    large = [count, s] if facts.tail == "image" else [count * s * s, 1]
    wanted = [{"image": [count, 1], "bicubic": [count, s]}[word] for word in facts.inputs.split(",")]
    found = [list(shapes.get(name, ())) for name in [*(i.name for i in graph.inputs), graph.outputs[0]]]
    if any(len(shape) != 4 or 0 in shape[1:] for shape in found) or len(found) != len(wanted) + 1:
        raise ModelError(f"a standalone file needs {len(wanted)} inputs and one output (1, C, H, W), not {found}")
    base = [n // wanted[0][1] for n in found[0][2:]]
    expected = [[c, *(n * factor for n in base)] for c, factor in [*wanted, large]]
    if expected != [shape[1:] for shape in found]:
        raise ModelError(
            f"the network's inputs and output have (C, H, W) = {[shape[1:] for shape in found]}; with scale {s}, color "
            f"{facts.color}, inputs {facts.inputs} and tail {facts.tail} they should have {expected}: "
            "correct these options, and use same padding, so that no border is lost"
        )


def _radius(model, facts):
    """Return the receptive-field radius of the whole, or "global"."""
    found = receptive_field.fact(model, facts)
    return found if found == "global" else max(found, processing.CHROMA_HALO if channels(facts) == 1 else 0)
