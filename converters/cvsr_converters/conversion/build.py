"""Build the file for one target from an understood network, and verify that it computes the same."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import load_from_string

from cvsr.errors import OptionError
from cvsr_converters import passes
from cvsr_converters.conversion.trace import trace
from cvsr_converters.facts import Facts
from cvsr_converters.proof import runtime_model
from cvsr_converters.proof.report import TOLERANCE, Report
from cvsr_converters.proof.verify import SIZES, verify
from cvsr_converters.targets import onnx as onnx_file
from cvsr_converters.targets import ops, receptive_field, tail

OLDEST = "4.8"


@dataclass(frozen=True)
class Built:
    """The bytes of a file, its facts, and ``verify(pythons)``, which returns the report of the comparison."""

    data: bytes
    facts: Facts
    verify: Callable


def onnx(understood, name, half=False, bits=None):
    """Return the :class:`Built` ONNX file for cvsr: it ends before the pixel shuffle; the metadata holds the rest."""
    original, facts = understood.original, understood.facts
    graph = _traced(understood)
    counted = parameters(graph)  # before the passes enlarge and split kernels
    graph, facts, limited = tail.cut(graph, facts)
    factors = [one.factor for one in original.inputs]
    facts |= Facts(name=name, radius=receptive_field.fact(graph, facts), parameters=counted)
    graph = passes.lower(graph)
    ops.check(graph, OLDEST)
    graph, tolerance = _stored(graph, half, bits)
    data = onnx_file.pack(graph, facts, math.lcm(onnx_file.SIZE, facts.multiple or 1), factors)
    # if a limit was cut off, values beyond it differ until the host applies its own
    limit = runtime_model.limited(facts) if limited else np.asarray
    whole, image = runtime_model.finish(understood.facts), runtime_model.finish(facts)

    def proof(pythons):
        return verify(
            data,
            lambda *blobs: limit(whole(original.run(*blobs)[0], blobs)),
            name=name,
            draw=runtime_model.draw(original.inputs, facts),
            finish=lambda output, blobs: limit(image(output, blobs)),
            pythons=pythons,
            sizes=fitting(facts),
            tolerance=tolerance,
        )

    return Built(data, facts, proof)


def standalone(understood, name, half=False, bits=None):
    """Return the :class:`Built` ONNX file from 8-bit BGR to 8-bit BGR, with everything included."""
    from cvsr_converters.targets import standalone as target

    original, facts = understood.original, understood.facts | Facts(name=name)
    graph = _traced(understood)
    ops.check(passes.lower(graph), OLDEST)
    model, tolerance = _stored(load_from_string(target.pack(graph, facts)), half, bits)
    data = model.SerializeToString(deterministic=True)
    entries = {one.key.removeprefix("cvsr."): one.value for one in model.metadata_props}
    stated: dict[str, Any] = {key: value for key, value in entries.items() if key != "version"}
    stated |= {key: int(value) for key, value in stated.items() if value.isdecimal()}

    def proof(pythons):
        wanted = target.host(original.run, facts)
        how = {"draw": target.draw, "pythons": pythons, "sizes": fitting(facts), "tolerance": tolerance}
        return verify(data, wanted, name=name, **how)

    return Built(data, Facts(**stated), proof)


def pb(understood, name, half=False, bits=None):
    """Return the :class:`Built` frozen graph for ``cv2.dnn_superres``."""
    from cvsr_converters.proof.superres import verify_superres
    from cvsr_converters.targets import pb as target

    if half:
        raise OptionError("dnn_superres cannot read 16-bit weights: omit --half, or convert to ONNX")
    original, facts = understood.original, understood.facts | Facts(name=name)
    graph, _ = _stored(_traced(understood), half, bits)
    data = target.pack(graph, facts)

    def proof(pythons):
        return Report(name, rows=verify_superres(data, facts, original.run, pythons))

    return Built(data, Facts(name=name, scale=facts.scale, family=target.family(facts)), proof)


def _traced(understood):
    return trace(understood.original, understood.facts.multiple or 1)


def _stored(graph, half, bits):
    """Return the graph with its weights as stored in the file, and the tolerance for its result.

    ``half``: in 16 bits. ``bits``: rounded to this many significant bits.
    """
    from cvsr_converters.targets import half as half_precision

    if bits:
        graph = half_precision.rounded(graph, bits)
    if not half and not bits:
        return graph, TOLERANCE
    return half_precision.weights(graph) if half else graph, half_precision.tolerance(bits)


def fitting(facts):
    """Return the sizes to verify at, rounded up to the multiple that the network needs."""
    multiple = facts.multiple or 1
    return tuple(tuple(multiple * math.ceil(n / multiple) for n in size) for size in SIZES)


def parameters(graph):
    """Return the number of parameters of an ONNX graph's convolutions, including biases and slopes."""
    sizes = {tensor.name: math.prod(tensor.dims) for tensor in graph.graph.initializer}
    layers = [node for node in graph.graph.node if node.op_type in ("Conv", "ConvTranspose", "PRelu")]
    names = {name for node in layers for name in node.input}
    return sum(sizes[name] for name in sorted(names) if name in sizes)


TARGETS = {"onnx": onnx, "standalone": standalone, "pb": pb}
