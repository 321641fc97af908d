"""What becomes of a small network: converted and compared, or refused."""

from __future__ import annotations

import tempfile
from pathlib import Path

from cvsr.errors import ModelError
from cvsr_converters import passes, sources
from cvsr_converters.conversion import adapters
from cvsr_converters.conversion.trace import trace
from cvsr_converters.facts import Facts
from cvsr_converters.proof import runtime_model
from cvsr_converters.proof.verify import verify
from cvsr_converters.sources.keras import graph
from cvsr_converters.targets import ops
from kit.smallnets.registry import NETS, fill

OLDEST = "4.8"


def convert(name):
    """Return (the original, its ONNX model for OpenCV) of the network called ``name``; raise ModelError."""
    original = adapters.selected(_original(NETS[name], name), NETS[name].output)
    model = passes.lower(trace(original))
    ops.check(model, OLDEST)
    return original, model


def _original(net, name):
    model = fill(net.make())
    if net.saved:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.keras")
            model.save(path)
            return sources.find(path).read(path, sources.Options())
    return graph.original(model, net.channels, inputs=list(net.inputs) or None, name=name)


def prove(name, pythons=()):
    """Return the :class:`~cvsr_converters.proof.verify.Report` of the network called ``name``; raise ModelError."""
    original, model = convert(name)
    return verify(
        model.SerializeToString(),
        lambda *blobs: original.run(*blobs)[0],
        name=name,
        draw=runtime_model.draw(original.inputs, Facts(range=1)),
        pythons=pythons,
        sizes=NETS[name].sizes,
    )


def table(pythons=(), names=None):
    """Return a Markdown table of networks and runtimes: the largest error as a part of the range, or what went wrong.

    ``pythons`` are interpreters with an OpenCV of their own, beside the one that is installed.
    """
    rows, runtimes = {}, []
    for name in names or NETS:
        try:
            rows[name] = {_runtime(row): _cell(row) for row in prove(name, pythons).rows}
            runtimes = runtimes or list(rows[name])
        except ModelError as error:
            rows[name] = " ".join(str(error).split())[:200].replace("|", "/")
    lines = [f"| network | {' | '.join(runtimes)} |", "|---" * (1 + len(runtimes)) + "|"]
    for name, cells in rows.items():
        if isinstance(cells, str):
            cells = dict.fromkeys(runtimes, "refused")
        lines.append(f"| {name} | {' | '.join(cells.get(runtime, '') for runtime in runtimes)} |")
    refused = [f"- {name}: {reason}" for name, reason in rows.items() if isinstance(reason, str)]
    return "\n".join([*lines, "", "Refused:", "", *refused] if refused else lines)


def _runtime(row):
    return f"{row.runtime} {row.engine}".strip()


def _cell(row):
    return f"{row.error:.0e}" if row.result == "ok" else row.result
