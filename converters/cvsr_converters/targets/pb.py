"""The frozen TensorFlow graph for OpenCV's dnn_superres: readModel(path), setModel(family, scale), upsample(image).

    Y 0..1 (fsrcnn) or BGR - mean (edsr) ── as the network has it ── network ── and back ── shuffle ── NCHW_output

The module converts colors itself, in one way per family, and replaces OpenCV's DepthToSpace by one that guesses the
block size from the number of channels. Any luma network fits the family "fsrcnn", and any network of three channels
"edsr", because 1x1 convolutions convert color, range and mean here.
"""

import numpy as np

from cvsr.errors import ModelError
from cvsr.modelfiles.superres_files import EDSR_MEAN
from cvsr_converters import passes
from cvsr_converters.facts import DEFAULTS
from cvsr_converters.passes import canonical
from cvsr_converters.passes.graph import Graph
from cvsr_converters.passes.lower import shuffle
from cvsr_converters.targets import graphdef_writer, pixel_shuffles, tail
from cvsr_converters.targets.color_nodes import Ops, channels, colors
from cvsr_converters.targets.graphdef_writer import OUTPUT


def family(facts):
    """Return the name for ``setModel`` of a network with these facts: "fsrcnn" or "edsr"."""
    return "fsrcnn" if facts.color == "luma" else "edsr"


def filename(facts):
    """Return a file name from which :func:`cvsr.open_model` recognizes color, range and scale."""
    return f"{family(facts)}_{facts.name}_x{facts.scale}.pb"


def pack(model, facts):
    """Return the bytes of the file.

    ``model``: from :func:`cvsr_converters.conversion.trace.trace`, or the graph of an ONNX file for cvsr. ``facts``:
    the fields of :class:`cvsr.ModelInfo`; scale, color and range must be there. Raises ModelError if
    the network does not fit dnn_superres.
    """
    facts = DEFAULTS | facts
    if facts.inputs != "image" or len(model.graph.input) != 1:
        raise ModelError("dnn_superres feeds the image itself, but this network reads an enlarged one: convert to ONNX")
    if facts.multiple != 1:
        raise ModelError(
            f"dnn_superres feeds images of any size, but this network needs sides that are multiples of "
            f"{facts.multiple}: convert to ONNX"
        )
    model, facts, _ = tail.cut(model, facts)
    graph = Graph(passes.lower(model, keep=[shuffle]))
    pixel_shuffles.polyphase(graph)
    pixel_shuffles.nearest(graph)
    result = _around(Ops(graph, facts.scale), graph, facts)
    graph.outputs = [result]
    graph.types = {result: graph.types.popitem()[1]}
    graph.touch()
    canonical.run(graph)
    pixel_shuffles.shuffles(graph)
    canonical.run(graph)
    _check(graph, facts)
    return graphdef_writer.write(graph, "image", OUTPUT).SerializeToString(deterministic=True)


def _around(ops, graph, facts):
    """Add nodes from the module's input to the network's, and from its output to the module's; return the latter."""
    count, white, mean = channels(facts), facts.range, np.array(facts.mean or [0])
    rows, offset, inverse, theirs, scale = np.eye(1), np.zeros(1), np.eye(1), np.zeros(1), 1
    if count == 3:
        (rows, offset, inverse), theirs, scale = colors(facts.color), np.array(EDSR_MEAN), 255
    fed, output = graph.inputs[0].name, graph.outputs[0]
    # the module feeds x, where x + theirs is the pixel in 0..scale
    matrix, bias = rows * white / scale, rows @ theirs * white / scale + offset * white - mean
    if not _idle(matrix, bias):
        graph.inputs[0].name = "module"
        ops.named(fed, ops.mixed("module", matrix, bias))
    if facts.tail == "subpixel":
        if facts.skip == "nearest":
            output = ops.plus_nearest(output, fed, count)
        output = ops.add("DepthToSpace", [output], blocksize=ops.scale, mode="CRD")
    if facts.color in ("ycrcb", "ycbcr"):
        output = ops.limited(ops.mixed(output, np.eye(3), mean + np.zeros(3)), white)
        mean = 0
    matrix = inverse * scale / white
    bias = matrix @ (mean - offset * white) - theirs
    return output if _idle(matrix, bias) else ops.mixed(output, matrix, bias)


def _idle(matrix, bias):
    """Return whether the mixing of channels changes nothing."""
    return np.allclose(matrix, np.eye(len(matrix)), atol=1e-6) and np.abs(bias).max() < 1e-4


def _check(graph, facts):
    """Raise ModelError if the result is not the image enlarged by ``scale``."""
    shapes = graph.shapes()
    found, s = [list(shapes[name][1:]) for name in (graph.inputs[0].name, graph.outputs[0])], facts.scale
    count = channels(facts)
    if [found[0][0], *found[1]] != [count, count, *(n * s for n in found[0][1:])]:
        raise ModelError(
            f"with scale {s} and color {facts.color} the network must turn (C, H, W) = {count}, H, W into {count}, "
            f"H * {s}, W * {s}; it turns {found[0]} into {found[1]}"
        )
