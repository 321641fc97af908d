"""Run a function that may crash the interpreter (importing cv2, drivers) in a child process; needs no cv2."""

import importlib
import json
import signal
import subprocess
import sys
from typing import Any

TIMEOUT = 180  # seconds: the first forward on OpenCL or CUDA compiles kernels


def run(function: str, *arguments: str) -> dict[str, Any]:
    """Call ``function``, "module:name", with texts in a child; return its dict, or {"error": why there is none}."""
    # the parent's own search path, so that the child finds the same cvsr and the same cv2
    code = f"import sys; sys.path[:] = {sys.path!r}; from cvsr.opencv import child; child.answer(*sys.argv[1:])"
    command = [sys.executable or "python3", "-c", code, function, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT, check=False, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {TIMEOUT} seconds"}
    except OSError as error:
        return {"error": f"no child process could be started: {error}"}
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        return {"error": f"{_exit_reason(done.returncode)}{': ' + words[-1] if words else ''}"}
    try:
        return json.loads(done.stdout.decode(errors="replace").splitlines()[-1])
    except (ValueError, IndexError):
        return {"error": "the child process ended without an answer"}


def answer(function: str, *arguments: str) -> None:
    """In the child: write what the function returns as the last line of stdout."""
    try:
        module, _, name = function.partition(":")
        result = getattr(importlib.import_module(module), name)(*arguments)
    except Exception as error:  # whatever it is belongs in the report
        result = {"error": f"{type(error).__name__}: {error}"}
    sys.stdout.write("\n" + json.dumps(result) + "\n")


def _exit_reason(code: int) -> str:
    if code > 0:
        return f"the child process ended with exit code {code:#x}" if code > 255 else f"exit code {code}"
    try:
        return f"the child process was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"the child process was killed by signal {-code}"
