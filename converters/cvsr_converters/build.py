"""An understood network → the bytes of a file for one target, and the proof that they compute what it does."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cvsr_converters import host, passes
from cvsr_converters.radius import radius
from cvsr_converters.targets import onnx as onnx_file
from cvsr_converters.targets import ops, tail
from cvsr_converters.trace import trace
from cvsr_converters.verify import SIZES, TOLERANCE, verify

OLDEST = "4.8"


@dataclass(frozen=True)
class Built:
    """The bytes of a file, the facts in it, and ``verify(pythons)``, which gives the report of the comparison."""

    data: bytes
    facts: dict
    verify: Callable


def onnx(understood, name, *, half=False):
    """Return the :class:`Built` ONNX file for cvsr: it ends before the pixel shuffle, the rest is in its metadata."""
    original, facts = understood.original, understood.facts
    graph, facts, limited = tail.cut(trace(original), facts)
    graph = passes.lower(graph)
    ops.check(graph, OLDEST)
    factors = [one.factor for one in original.inputs]
    facts |= {"name": name, "radius": _radius(graph, facts, factors), "parameters": parameters(graph)}
    tolerance = TOLERANCE
    if half:
        from cvsr_converters.targets import half as half_precision

        graph, tolerance = half_precision.weights(graph), half_precision.TOLERANCE
    data = onnx_file.pack(graph, facts, math.lcm(onnx_file.SIZE, facts.get("multiple", 1)), factors)

    def proof(pythons):
        limit = host.limited(facts) if limited else np.asarray
        image = host.finish(facts)
        return verify(
            data,
            lambda *blobs: limit(original.run(*blobs)[0]),
            name=name,
            draw=host.draw(original.inputs, facts),
            finish=lambda output, blobs: limit(image(output, blobs)),
            pythons=pythons,
            sizes=fitting(facts),
            tolerance=tolerance,
        )

    return Built(data, facts, proof)


def fitting(facts):
    """Return the sizes to verify at, brought to the multiple that the network needs."""
    multiple = facts.get("multiple", 1)
    return tuple(tuple(multiple * math.ceil(n / multiple) for n in size) for size in SIZES)


def _radius(graph, facts, factors):
    """Return what the file says of how far a pixel sees: a number, or "global"."""
    enlarged = [facts["scale"]] if facts.get("inputs") == "bicubic" else factors
    found = radius(graph, enlarged)
    return "global" if found is None else found


def parameters(graph):
    """Return how many numbers the convolutions of an ONNX graph have, biases included, one-hot shuffles not."""
    sizes = {tensor.name: math.prod(tensor.dims) for tensor in graph.graph.initializer}
    layers = [node for node in graph.graph.node if node.op_type in ("Conv", "ConvTranspose", "PRelu")]
    names = {name for node in layers if len(node.input) > 2 or node.op_type != "ConvTranspose" for name in node.input}
    return sum(sizes[name] for name in sorted(names) if name in sizes)


TARGETS = {"onnx": onnx}
