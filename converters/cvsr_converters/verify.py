"""Prove that a converted file computes what the original does: in ONNX, and in OpenCV itself.

OpenCV runs in a child process, because some graphs crash it, and in any number of versions: one child for each
interpreter and engine. The child needs numpy and cv2, nothing of cvsr. It runs one net at sizes A, B and A again,
because some errors show only after the size has changed.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import onnx

SIZES = (40, 56), (64, 48), (37, 51)  # the first two for OpenCV; the third is odd and prime for whoever halves
TOLERANCE = 1e-4  # of the range of the output
TIMEOUT = 300  # seconds for one child


@dataclass(frozen=True)
class Row:
    """How one runtime did: ``result`` is ok, wrong or error; ``error`` the largest one as a part of the range."""

    runtime: str
    engine: str
    result: str
    error: float | None = None
    ms: float | None = None
    note: str = ""


@dataclass
class Report:
    """What :func:`verify` found, one row for each runtime and engine."""

    name: str
    tolerance: float = TOLERANCE
    rows: list[Row] = field(default_factory=list)

    @property
    def ok(self):
        """Return whether every runtime gave the right numbers, and OpenCV was among them."""
        tried = any(row.runtime.startswith("OpenCV") for row in self.rows)
        return tried and all(row.result == "ok" for row in self.rows)

    def markdown(self):
        """Return the report as a Markdown table."""
        lines = ["| runtime | engine | result | max error | ms | note |", "|---|---|---|---|---|---|"]
        for row in self.rows:
            error = "" if row.error is None else f"{row.error:.1e}"
            ms = "" if row.ms is None else f"{row.ms:.2f}"
            lines.append(f"| {row.runtime} | {row.engine} | {row.result} | {error} | {ms} | {row.note} |")
        return "\n".join(lines)

    def json(self):
        """Return the report as JSON text."""
        return json.dumps(asdict(self) | {"ok": self.ok}, indent=1)


def verify(data, original, *, name="model", maximum=1.0, pythons=(), sizes=SIZES, tolerance=TOLERANCE):
    """Compare an ONNX file with the network that it came from; return a :class:`Report`.

    ``data`` is the bytes of the file, with one input and one output. ``original`` is a function of numpy arrays,
    float32 (1, C, H, W) in 0..``maximum`` to (1, C', H', W'). ``pythons`` are interpreters with an OpenCV of their own
    to try beside the one that runs this. ``sizes`` are three (H, W) that the network takes.
    """
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    if (counts := (len(model.graph.input), len(model.graph.output))) != (1, 1):
        raise ValueError(f"the file must have one input and one output, not {counts[0]} and {counts[1]}")
    channels = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    random = np.random.default_rng(0)
    blobs = [(random.random((1, channels, *size)) * maximum).astype(np.float32) for size in sizes]
    wanted = [np.asarray(original(blob)) for blob in blobs]
    report = Report(name, tolerance)
    report.rows.append(_in_onnx(model, blobs, wanted, tolerance))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "model.onnx").write_bytes(data)
        arrays = {"x0": blobs[0], "x1": blobs[1], "y0": wanted[0], "y1": wanted[1]}
        np.savez(Path(folder, "job.npz"), **arrays)
        for python in dict.fromkeys([sys.executable, *map(str, pythons)]):
            report.rows += _in_opencv(python, folder, tolerance)
    return report


def distance(got, wanted):
    """Return the largest difference as a part of the range of ``wanted``; infinity if that cannot be told."""
    if got.shape != wanted.shape or not np.isfinite(got).all():
        return float("inf")
    return float(np.abs(got - wanted).max() / max(float(np.ptp(wanted)), 1e-6))


def _judge(runtime, engine, error, tolerance, ms=None, note=""):
    return Row(runtime, engine, "ok" if error <= tolerance else "wrong", error, ms, note)


def _in_onnx(model, blobs, wanted, tolerance):
    """Return the row of onnxruntime if it is installed, else of ONNX's own reference implementation."""
    free = onnx.ModelProto.FromString(model.SerializeToString())
    for info in [*free.graph.input, *free.graph.output]:
        for number, dim in enumerate(info.type.tensor_type.shape.dim[2:]):
            dim.dim_param = f"{info.name}_{number}"  # both are strict about the concrete size that OpenCV wants
    try:
        import onnxruntime
    except ImportError:
        from onnx.reference import ReferenceEvaluator

        session, runtime = ReferenceEvaluator(free), f"onnx.reference {onnx.__version__}"
    else:
        session = onnxruntime.InferenceSession(free.SerializeToString(), providers=["CPUExecutionProvider"])
        runtime = f"onnxruntime {onnxruntime.__version__}"
    name = model.graph.input[0].name
    try:
        errors = [distance(session.run(None, {name: x})[0], y) for x, y in zip(blobs, wanted, strict=True)]
    except Exception as error:  # whatever it is, it belongs into the report beside the others' results
        return Row(runtime, "", "error", note=" ".join(str(error).split())[:300].replace("|", "/"))
    return _judge(runtime, "", max(errors), tolerance)


def _in_opencv(python, folder, tolerance):
    """Return the rows of the OpenCV that ``python`` has, one for each engine."""
    rows, engines = [], [""]
    while engines:
        engine = engines.pop(0)
        said, failure = _run_child(python, folder, engine)
        if not engine and "engines" in said:
            engine, *engines = said["engines"]
        runtime = f"OpenCV {said['opencv']}" if "opencv" in said else f"OpenCV of {Path(python).parent.parent.name}"
        if failure or "errors" not in said:
            rows.append(Row(runtime, engine, "error", note=failure or "it ended without a result"))
        else:
            error = max(said["errors"], default=float("inf"))
            note = "" if error <= tolerance else "errors at A, B, A: " + ", ".join(f"{e:.1e}" for e in said["errors"])
            rows.append(_judge(runtime, engine, error, tolerance, said["ms"], note))
    return rows


def _run_child(python, folder, engine):
    """Return (what the child said, why it failed or "")."""
    source = f"{inspect.getsource(distance)}\n{inspect.getsource(_child)}\n_child({engine!r})"
    # the one would overrule the engine that is asked for, the other lead to the packages of this interpreter
    drop = {"OPENCV_FORCE_DNN_ENGINE"} | ({"PYTHONPATH"} if python != sys.executable else set())
    environment = {k: v for k, v in os.environ.items() if k not in drop}
    command = [python, "-c", f"import numpy as np\n{source}"]
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return {}, f"no answer in {TIMEOUT} s"
    except OSError as error:
        return {}, f"cannot start {Path(python).name}: {error.strerror}"
    said = {}
    for line in done.stdout.splitlines():
        if line.startswith('{"'):
            said |= json.loads(line)
    if done.returncode < 0:
        return said, f"crashed: {signal.Signals(-done.returncode).name}"
    if done.returncode:
        return said, _last_error(done.stderr) or f"exit code {done.returncode}"
    return said, ""


def _last_error(text):
    """Return the message of the exception that ended a Python program, on one line; OpenCV's take several."""
    lines = text.splitlines()
    starts = [i for i, line in enumerate(lines) if re.match(r"[\w.]*(Error|Exception|error)\b", line)]
    message = " ".join(" ".join(lines[starts[-1] :] if starts else lines[-1:]).split())
    return re.sub(r"\S*/modules/", "", message)[:300].replace("|", "/")


def _child(engine):
    """Run the job in the current folder; print JSON. Its source is sent to other interpreters: no name from above."""
    import json
    import sys
    import time

    import cv2

    def say(facts):
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()  # before anything can crash

    engines = [e.lower() for e in ("CLASSIC", "NEW") if hasattr(cv2.dnn, f"ENGINE_{e}")]
    say({"opencv": cv2.__version__, "engines": engines or ["classic"]})
    options = {"engine": getattr(cv2.dnn, f"ENGINE_{(engine or engines[0]).upper()}")} if engines else {}
    net = cv2.dnn.readNetFromONNX("model.onnx", **options)
    job, errors = np.load("job.npz"), []
    for which in "010":  # sizes A, B, A
        net.setInput(job["x" + which])
        errors.append(distance(net.forward(), job["y" + which]))
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        net.setInput(job["x0"])
        net.forward()
        times.append(1000 * (time.perf_counter() - begun))
    say({"errors": errors, "ms": min(times)})
