"""Verify that a converted file computes the same as the original, in an ONNX runtime and in OpenCV.

OpenCV runs in child processes, because some graphs crash it: one for each interpreter, with its own version, and
engine. A child needs numpy and cv2, but not cvsr. It runs one net at sizes A, B and A again, because some errors
appear only after a change of size.
"""

import inspect
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from cvsr_converters.proof.report import TOLERANCE, Report, Row

SIZES = (40, 56), (64, 48), (37, 51)  # the first two are for OpenCV; the third has odd sides, for networks that halve
ABA = (0, 1, 0)  # the order of the first two sizes for one net in OpenCV
TIMEOUT = 300  # seconds for one child


def verify(data, original, *, name="model", draw=None, finish=None, pythons=(), sizes=SIZES, tolerance=TOLERANCE):
    """Compare an ONNX file with the network that it came from; return a :class:`Report`.

    ``data``: the bytes of the file, which has one output. ``original``: a function of numpy arrays, one for each input,
    float32 (1, C, H, W) to (1, C', H', W'). ``draw(size, random)`` returns a list of such arrays for an image of
    ``size`` = (H, W); by default, one with values in 0..1. ``finish(output, blobs)`` does the runtime's work on the
    file's output before the comparison. ``pythons``: other interpreters whose OpenCV is tried besides this one's.
    ``sizes``: three (H, W) that the network accepts.
    """
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    if len(model.graph.output) != 1:
        raise ValueError(f"the file must have one output, not {len(model.graph.output)}")
    job = make_job(model, original, draw, finish, sizes)
    report = Report(name, tolerance)
    report.rows.append(_in_onnx(model, job, tolerance))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "model.onnx").write_bytes(data)
        for size in (0, 1):
            arrays: dict[str, Any] = dict(zip(job.inputs, job.blobs[size], strict=True))
            np.savez(Path(folder, f"x{size}.npz"), **arrays)
        for python in dict.fromkeys([sys.executable, *map(str, pythons)]):
            report.rows += _in_opencv(python, folder, job, tolerance)
    return report


@dataclass(frozen=True)
class Job:
    """A comparison: ``blobs`` to feed (at each size, one per input), ``wanted`` results, and how to finish."""

    inputs: list[str]
    blobs: list[list[np.ndarray]]
    wanted: list[np.ndarray]
    finish: Callable

    def errors(self, outputs, order):
        """Return the distance of each output from the wanted one; ``order``: the index of the size of each."""
        return [
            distance(self.finish(y, self.blobs[size]), self.wanted[size])
            for y, size in zip(outputs, order, strict=True)
        ]


def make_job(model, original, draw, finish, sizes):
    """Return the :class:`Job` that compares an ONNX model with ``original``: see :func:`verify`."""
    channels = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    draw = draw or (lambda size, random: [random.random((1, channels, *size)).astype(np.float32)])
    random = np.random.default_rng(0)
    blobs = [draw(size, random) for size in sizes]
    wanted = [np.asarray(original(*fed)) for fed in blobs]
    return Job([i.name for i in model.graph.input], blobs, wanted, finish or (lambda output, _: output))


def distance(got, wanted):
    """Return the largest difference as a part of the range of ``wanted``, or infinity if that is undefined."""
    if got.shape != wanted.shape or not np.isfinite(got).all():
        return float("inf")
    return float(np.abs(got - wanted).max() / max(float(np.ptp(wanted)), 1e-6))


def _judge(runtime, engine, error, tolerance, ms=None, note=""):
    return Row(runtime, engine, "ok" if error <= tolerance else "wrong", error, ms, note)


def _in_onnx(model, job, tolerance):
    """Return the row of onnxruntime if it is installed, else of ONNX's own reference implementation."""
    free = onnx.ModelProto.FromString(model.SerializeToString())
    for info in [*free.graph.input, *free.graph.output]:
        for number, dim in enumerate(info.type.tensor_type.shape.dim[2:]):
            dim.dim_param = f"{info.name}_{number}"  # both enforce the concrete size that OpenCV needs
    session: Any
    try:
        import onnxruntime
    except ImportError:
        from onnx.reference import ReferenceEvaluator

        session, runtime = ReferenceEvaluator(free), f"onnx.reference {onnx.__version__}"
    else:
        session = onnxruntime.InferenceSession(free.SerializeToString(), providers=["CPUExecutionProvider"])
        runtime = f"onnxruntime {onnxruntime.__version__}"
    try:
        outputs = [session.run(None, dict(zip(job.inputs, fed, strict=True)))[0] for fed in job.blobs]
    except Exception as error:  # any error belongs in the report, next to the other results
        return Row(runtime, "", "error", note=" ".join(str(error).split())[:300].replace("|", "/"))
    return _judge(runtime, "", max(job.errors(outputs, range(len(outputs)))), tolerance)


def _in_opencv(python, folder, job, tolerance):
    """Return the rows of the OpenCV that ``python`` has, one for each engine."""
    rows, engines = [], [""]
    while engines:
        engine = engines.pop(0)
        said, failure = run_child(python, folder, _child, engine, ABA)
        if not engine and "engines" in said:
            engine, *engines = said["engines"]
        runtime = f"OpenCV {said['opencv']}" if "opencv" in said else f"OpenCV of {Path(python).parent.parent.name}"
        if failure or "ms" not in said:
            rows.append(Row(runtime, engine, "error", note=failure or "it ended without a result"))
        else:
            errors = job.errors([np.load(Path(folder, f"y{i}.npy")) for i in range(3)], ABA)
            error = max(errors)
            note = "" if error <= tolerance else "errors at A, B, A: " + ", ".join(f"{e:.1e}" for e in errors)
            rows.append(_judge(runtime, engine, error, tolerance, said["ms"], note))
    return rows


def run_child(python, folder, function, *arguments):
    """Run a function in another interpreter, in ``folder``; return (what it reported, why it failed or "").

    Its source is sent: it may use np and its own imports, but no other names of its module. It reports by printing JSON
    objects, one per line.
    """
    source = f"{inspect.getsource(function)}\n{function.__name__}(*{arguments!r})"
    # the first would override the requested engine, the second would select the packages of this interpreter
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
    """Return the message of the exception that ended a Python program, on one line; OpenCV's span several."""
    lines = text.splitlines()
    starts = [i for i, line in enumerate(lines) if re.match(r"[\w.]*(Error|Exception|error)\b", line)]
    message = " ".join(" ".join(lines[starts[-1] :] if starts else lines[-1:]).split())
    return re.sub(r"\S*/modules/", "", message)[:300].replace("|", "/")


def _child(engine, order):
    """Run the job in the current folder; print JSON. It runs in other interpreters, and uses no globals but np."""
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
    blobs = [dict(np.load(f"x{size}.npz")) for size in (0, 1)]

    def forward(size):
        for name, blob in blobs[size].items():
            net.setInput(blob, name)
        return net.forward()

    for place, size in enumerate(order):
        np.save(f"y{place}.npy", forward(size))
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        forward(order[0])
        times.append(1000 * (time.perf_counter() - begun))
    say({"ms": min(times)})
