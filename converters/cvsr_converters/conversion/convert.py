"""Convert a trained model into a file that every OpenCV runs, and verify it, as ``cvsr convert`` does."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from cvsr.errors import ModelError, OptionError
from cvsr_converters.conversion import child
from cvsr_converters.facts import Facts
from cvsr_converters.proof import environments
from cvsr_converters.proof.report import Conversion
from cvsr_converters.sources import Options
from cvsr_converters.targets import write_atomic

SUFFIXES = {"onnx": ".onnx", "standalone": ".onnx", "pb": ".pb"}
TIMEOUT = 3600.0  # seconds for a conversion; the largest networks take minutes
READING = 300.0  # seconds of these for reading a file: a damaged one can keep libhdf5 busy forever
MEMORY = 12 * 2**30  # bytes of address space; TensorFlow alone reserves several GB


def convert(
    source,
    out=None,
    *,
    to="onnx",
    scale=None,
    color=None,
    range=None,
    mean=None,
    network=None,
    network_options=None,
    outputs=(),
    signature=None,
    feeds=None,
    opencv=(),
    half=False,
    trust=False,
    timeout=TIMEOUT,
    max_memory=MEMORY,
    say=lambda text: None,
):
    """Convert a trained super-resolution model; write ``out`` if its results match; return the :class:`Conversion`.

    ``source``: the path of a model (``cvsr_converters.sources`` lists the formats), or, in memory, a Keras model or a
    TensorFlow function of float32 (N, H, W, C), with ``network_options={"channels": C}`` if C is not 3.
    ``out``: the file to write; None: only convert and report. ``to``: "onnx" for cvsr, "standalone" (8-bit BGR in and
    out, for any program with OpenCV), or "pb" (for ``cv2.dnn_superres``). ``scale``, ``color`` ("luma", "ycrcb",
    "ycbcr", "rgb", "bgr"), ``range`` (1 or 255), ``mean`` (per channel, in units of the range): what the network
    takes, if it cannot be detected. ``network`` and ``network_options``: the network in ``cvsr_converters.networks``
    whose weights the file holds. ``outputs``: the outputs to use. ``signature``: of a SavedModel. ``feeds``: values
    of other placeholders. ``opencv``: versions ("4.8.1.78") or Python interpreters to verify in, besides the installed
    OpenCV. ``half``: store weights in 16 bits. ``trust``: run code in the file. ``timeout``, in seconds, and
    ``max_memory``, in bytes or as "12G", limit the conversion. ``say``: called with a line of text for each step.

    Raises ModelError or OptionError, which say why and what to do. Nothing is written then, or if ``Conversion.ok`` is
    False. Files are read in a child process, so that a broken one cannot crash or block this process.
    """
    from cvsr.options import memory_size  # imports OpenCV, which the package's other programs do not need

    if to not in SUFFIXES:
        raise OptionError(f"to is {to!r}: use one of {', '.join(SUFFIXES)}")
    out = _checked_out(out, to)
    facts = Facts(scale=scale, color=color, range=range, mean=list(mean) if mean is not None else None)
    options = Options(network, dict(network_options or {}), tuple(outputs), dict(feeds or {}), signature, scale, trust)
    live = not isinstance(source, (str, os.PathLike))
    path = "" if live else os.fspath(source)
    request = child.Request(
        name=out.stem if out else _name(path or "model"),
        source=str(Path(path).absolute()) if path else "",
        target=to,
        facts=facts,
        output=outputs[0] if outputs else None,
        options=options,
        pythons=tuple(environments.python(version, say) for version in opencv),
        half=half,
        memory=memory_size(max_memory),
    )
    data, report = _of_object(request, source, say) if live else _in_child(request, timeout, say)
    if out and report.ok:
        write_atomic(out, data)
    return report


def _checked_out(out, to):
    """Return the path to write, or None; raise OptionError, before any work, if it is invalid."""
    if out is None:
        return None
    out = Path(out)
    if out.suffix.lower() != SUFFIXES[to]:
        raise OptionError(f"{out.name}: the name of a file for --to {to} must end in {SUFFIXES[to]}")
    if out.is_dir():
        raise OptionError(f"{out} is a folder: pass the name of a file")
    return out


def _name(path):
    """Return a name for the model in a file or folder."""
    return re.sub(r"[^\w.-]+", "_", Path(path).stem) or "model"


def _of_object(request, model, say):
    """Convert a model in memory, in this process."""
    from cvsr_converters.sources.keras import graph
    from cvsr_converters.sources.keras import model as keras_model

    if getattr(model, "inputs", None):
        original = keras_model.in_memory(model, request.options, request.name)
    else:
        channels = request.options.network_options.get("channels", 3)
        original = graph.original(model, channels, name=request.name)
    return child.convert(request, original, "a model in memory", say)


def _in_child(request, timeout, say):
    """Return (bytes, report) from a child process; raise ModelError with the reason if it fails."""
    with tempfile.TemporaryDirectory(prefix="cvsr-convert-") as folder:
        Path(folder, "request.json").write_text(request.to_json(), encoding="utf-8")
        code, last = _run([sys.executable, "-m", "cvsr_converters.conversion.child", folder], folder, timeout, say)
        if (refusal := Path(folder, "refusal.json")).exists():
            raise ModelError(json.loads(refusal.read_text("utf-8"))["message"])
        if code is None:
            raise ModelError(f"stopped after {timeout:g} seconds, of which reading may take {READING:g}: {last}")
        if code:
            ending = f"crashed ({signal.Signals(-code).name})" if code < 0 else "failed"
            raise ModelError(f"reading or converting the model {ending}: {last}")
        report = Conversion.from_json(Path(folder, "report.json").read_text("utf-8"))
        return Path(folder, "model").read_bytes(), report


def _run(command, folder, timeout, say):
    """Run the child; return (its exit code, or None if it took too long; the last line of its error output)."""
    environment = os.environ | {"TMPDIR": folder}  # its leftovers are deleted with the folder
    with open(Path(folder, "complaints"), "w+b") as complaints:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=complaints, env=environment, text=True, start_new_session=True
        )
        assert process.stdout is not None
        timer = _timer(min(timeout, READING), process)
        begun, steps = time.monotonic(), 0
        try:
            for line in process.stdout:
                if line.startswith('{"say"'):
                    say(json.loads(line)["say"])
                    steps += 1
                    if steps == 2 and timer.is_alive():  # the first step was reading
                        timer.cancel()
                        timer = _timer(timeout - (time.monotonic() - begun), process)
            code = process.wait()
        finally:
            expired = not timer.is_alive()
            timer.cancel()
            _kill(process)
            process.stdout.close()
        complaints.seek(0, os.SEEK_END)
        complaints.seek(max(0, complaints.tell() - 4000))
        lines = complaints.read().decode("utf-8", "replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    return None if expired else code, (said[-1] if said else "no message")[:500]


def _timer(seconds, process):
    """Start a timer that kills the process; return it."""
    timer = threading.Timer(max(0, seconds), _kill, [process])
    timer.start()
    return timer


def _kill(process):
    """Kill the child and all processes that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError, AttributeError):
        process.kill()
