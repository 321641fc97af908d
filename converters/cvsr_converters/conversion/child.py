"""Do a whole conversion in one process: ``python -m cvsr_converters.conversion.child FOLDER`` runs it as a child.

The child reads ``request.json`` in the folder and writes ``model`` and ``report.json``, or ``refusal.json``. The parent
loads no framework, survives if a strange file crashes the child, and limits its time and memory.
"""

import hashlib
import json
import logging
import os
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from cvsr.errors import CvsrError, install_hint
from cvsr_converters.facts import UNKNOWN, Facts
from cvsr_converters.sources import Options


@dataclass(frozen=True)
class Request:
    """The arguments of a conversion: see :func:`cvsr_converters.convert`."""

    name: str
    source: str = ""
    target: str = "onnx"
    facts: Facts = UNKNOWN
    output: str | None = None
    options: Options = field(default_factory=Options)
    pythons: tuple = ()
    half: bool = False
    memory: int = 0  # bytes of address space that the child may use; 0: no limit

    def to_json(self):
        """Return the request as JSON text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text):
        """Return the request that :meth:`to_json` wrote."""
        values = json.loads(text)
        facts, options = Facts(**values.pop("facts")), Options(**values.pop("options"))
        return cls(facts=facts, options=options, **values)


def convert(request, original, title, say=lambda text: None):
    """Return (bytes, :class:`~cvsr_converters.proof.report.Conversion`) for an :class:`Original`; raise ModelError."""
    from cvsr_converters.conversion import build
    from cvsr_converters.conversion.understand import understand
    from cvsr_converters.proof.report import Conversion

    begun = time.monotonic()
    say("detecting scale, color and range")
    hint = f"{Path(request.source).name} {request.options.network or ''}"
    understood = understand(original, request.facts, request.output, hint)
    say("rewriting the graph")
    built = build.TARGETS[request.target](understood, request.name, half=request.half)
    say("comparing the results in OpenCV")
    proof = built.verify(request.pythons)
    report = Conversion(
        source=Path(request.source).name or request.name,
        format=title,
        target=request.target,
        facts=built.facts.known(),
        notes=understood.notes,
        proof=proof,
        sha256=hashlib.sha256(built.data).hexdigest(),
        bytes=len(built.data),
        seconds=round(time.monotonic() - begun, 1),
    )
    return built.data, report


def from_file(request, say=lambda text: None):
    """Return what :func:`convert` does, for the file that the request names."""
    from cvsr_converters import sources

    path = Path(request.source)
    module = sources.find(path)
    say(f"reading {path.name}: {module.TITLE}")
    original = sources.read(module, path, request.options)
    if request.output not in original.outputs and len(original.outputs) == 1:
        request = replace(request, output=None)  # already chosen while reading, under another name
    return convert(request, original, module.TITLE, say)


def main(folder):
    """Convert as requested in ``folder``; return the exit code, 1 if the model is refused."""
    folder = Path(folder)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever the user's own Keras runs on
    for name in ("tensorflow", "tf2onnx", "absl", "h5py"):
        logging.getLogger(name).setLevel(logging.ERROR)
    request = Request.from_json((folder / "request.json").read_text("utf-8"))
    _limit_memory(request.memory)
    out = sys.stdout
    sys.stdout = sys.stderr  # frameworks print; standard output is for the parent

    def say(text):
        out.write(json.dumps({"say": text}) + "\n")
        out.flush()

    try:
        data, report = from_file(request, say)
    except CvsrError as error:
        _refuse(folder, str(error))
        return 1
    except MemoryError:
        limit = f"{request.memory / 2**30:.3g} GB of memory"
        _refuse(folder, f"the conversion needs more than {limit}: if you trust the file, raise --max-memory")
        return 1
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        extra = "torch" if package in ("torch", "torchvision", "spandrel") else "convert"
        _refuse(folder, f"this needs {package}, which is not installed: {install_hint(extra)}")
        return 1
    (folder / "model").write_bytes(data)
    (folder / "report.json").write_text(report.json(), encoding="utf-8")
    return 0


def _limit_memory(limit):
    """Make allocations beyond ``limit`` fail, if the system supports that: a file may state false sizes."""
    try:
        import resource
    except ImportError:
        return
    if limit:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _refuse(folder, message):
    (folder / "refusal.json").write_text(json.dumps({"message": message}), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
