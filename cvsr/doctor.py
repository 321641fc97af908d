"""What works on this machine, what does not, and what to type about it.

Whatever may crash (importing cv2, drivers, forwards) runs in child processes, so that the doctor outlives its patients.
That is also why this module imports neither cv2 nor anything that does.
"""

from __future__ import annotations

import importlib.metadata as metadata
import json
import platform
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

Facts = dict[str, Any]

_TIMEOUT = 180  # seconds: the first forward on OpenCL or CUDA compiles kernels
_INSTALL = "pip install opencv-python-headless (or, on Debian and its kin, apt install python3-opencv)"


def report() -> Facts:
    """Examine the environment; return JSON-able facts.

    ``ok`` is False if something that upscaling needs is broken; ``problems`` lists {what, remedy, serious}, also those
    that it can live with. No exception and no crash of OpenCV or a driver comes out of here.
    """
    wheels = _wheels()
    seen = _child("look")
    models: list[Facts] = seen.pop("models", [])
    devices: list[Facts] = seen.pop("devices", [])
    golden = _golden_runs(devices, models)
    problems = [
        *_opencv_problems(seen, wheels),
        *_process_problems(),
        *_model_problems(models, seen),
        *_golden_problems(golden),
    ]
    return {
        "ok": not any(problem["serious"] for problem in problems),
        "problems": problems,
        "python": {"version": platform.python_version(), "platform": platform.platform(), "executable": sys.executable},
        "cvsr": getattr(sys.modules["cvsr"], "__version__", "of unknown version"),
        "numpy": _version("numpy"),
        "opencv": seen,
        "wheels": wheels,
        "devices": devices,
        "models": models,
        "golden": golden,
    }


def text(report: Facts) -> str:
    """Return the facts of ``report()`` for people."""
    python, opencv = report["python"], report["opencv"]
    lines = [f"Python {python['version']} on {python['platform']}", f"cvsr {report['cvsr']}, numpy {report['numpy']}"]
    owners = ", ".join(f"{wheel['name']} {wheel['version']}" for wheel in report["wheels"])
    if "error" in opencv:
        lines.append(f"OpenCV: {opencv['error']}")
    else:
        kind = f"{'contrib' if opencv['contrib'] else 'plain'}, {'headless' if opencv['headless'] else 'with windows'}"
        lines.append(f"{opencv['name']} ({kind}; {owners or 'from no wheel'})")
        engines = ", ".join(opencv["engines"])
        lines.append(f"  dnn: {opencv['dnn']}, dnn_superres: {opencv['dnn_superres']}, engines: {engines}")
    lines.append("Devices")
    for device in report["devices"]:
        evidence = device["evidence"].removeprefix(opencv["name"]).lstrip(": ")
        lines.append(f"  {device['name']:12}{'yes' if device['available'] else 'no ':5}{evidence}")
    lines.append("Models" if report["models"] else "Models: none")
    lines += [f"  {model['name']:18}{model['note'] or 'checksum right'}" for model in report["models"]]
    lines.append("Test forwards")
    lines += [f"  {run['device']:12}{_outcome(run)}" for run in report["golden"]]
    for problem in report["problems"]:
        lines += [f"{'Problem' if problem['serious'] else 'Note'}: {problem['what']}", f"  Do: {problem['remedy']}"]
    lines.append("Ready to upscale." if report["ok"] else "Not ready to upscale: see the problems above.")
    return "\n".join(lines)


def _outcome(run: Facts) -> str:
    if run.get("error"):
        return str(run["error"])
    how = "on average {:.2g} of the range from bicubic" if run["device"] == "cpu" else "at most {:.2g} from the CPU's"
    return f"right: {run['milliseconds']} ms for 64x48 pixels, {how.format(run['difference'])}"


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _problem(what: str, remedy: str, *, serious: bool) -> Facts:
    return {"what": what, "remedy": remedy, "serious": serious}


def _wheels() -> list[Facts]:
    """Return the installed distributions that own cv2, with the folder that each put it in."""
    names = sorted(set(metadata.packages_distributions().get("cv2", [])))
    return [
        {"name": name, "version": metadata.version(name), "folder": str(metadata.distribution(name).locate_file("cv2"))}
        for name in names
    ]


def repair_line(wheels: list[Facts], *, headless: bool | None = None) -> str:
    """Return what to type to leave one wheel that does all that the installed ones did, within their major version."""
    names = [str(wheel["name"]) for wheel in wheels]
    one = "opencv-contrib-python" if any("contrib" in name for name in names) else "opencv-python"
    if headless if headless is not None else all("headless" in name for name in names):
        one += "-headless"
    if all(str(wheel["version"]).startswith("4.") for wheel in wheels):
        one = f'"{one}<5"'
    return f"pip uninstall -y {' '.join(names)} && pip install --no-cache-dir {one}"


def _opencv_problems(seen: Facts, wheels: list[Facts]) -> list[Facts]:
    found: list[Facts] = []
    rivals = [wheel for wheel in wheels if sum(wheel["folder"] == other["folder"] for other in wheels) > 1]
    if "error" in seen:
        remedy = _INSTALL
        if wheels:  # a library such as libGL is missing on servers: the headless wheels need none
            missing_library = re.search(r"lib\S+\.so|DLL", seen["error"]) is not None
            remedy = repair_line(wheels, headless=missing_library or None)
        found.append(_problem(f"OpenCV cannot be loaded: {seen['error']}", remedy, serious=True))
    if rivals:
        what = f"{', '.join(wheel['name'] for wheel in rivals)} are installed together and overwrite each other's files"
        found.append(_problem(what, repair_line(rivals), serious=False))
    if seen.get("dnn_superres") == "broken":
        what = "cv2.dnn_superres is there without DnnSuperResImpl_create: an overwritten contrib wheel"
        contrib = [*wheels, {"name": "opencv-contrib-python", "version": seen["version"], "folder": ""}]
        found.append(_problem(what, repair_line(rivals or contrib), serious=False))
    if seen.get("forced_engine"):
        what = f"{seen['forced_engine']}, whatever cvsr asks for"
        found.append(_problem(what, "Unset OPENCV_FORCE_DNN_ENGINE", serious=False))
    return found


def _process_problems() -> list[Facts]:
    """Return what other code has done to the OpenCV of this very process, where one is loaded."""
    if "cv2" not in sys.modules:
        return []
    from cvsr.opencv import layer_registry

    if not layer_registry.shadowed():
        return []
    what = (
        "this process has created a cv2.dnn_superres.DnnSuperResImpl, after which OpenCV computes other networks with "
        "a pixel shuffle wrongly; cvsr repairs that for its own, at the cost of such objects"
    )
    return [_problem(what, "Use cvsr.dnn_superres in its place: the same methods", serious=False)]


def _model_problems(models: list[Facts], seen: Facts) -> list[Facts]:
    reinstall = "Reinstall cvsr (pip install --force-reinstall --no-deps cvsr), or see what CVSR_MODEL_PATH points at"
    found = [_problem(f"Model {m['name']}: {m['note']}", reinstall, serious=True) for m in models if not m["ok"]]
    if not models and "error" not in seen:
        note = seen.get("models_error") or "no index.json lists one"
        found.append(_problem(f"No bundled model: {note}", reinstall, serious=True))
    return found


def _golden_problems(golden: list[Facts]) -> list[Facts]:
    remedies = {True: "Reinstall OpenCV, or try another version of it", False: "Update the driver, or use device='cpu'"}
    return [
        _problem(f"The test forward on {run['device']} failed: {run['error']}", remedies[on_cpu], serious=on_cpu)
        for run in golden
        if run.get("error") and not run.get("skipped")
        for on_cpu in [run["device"] == "cpu"]
    ]


def _golden_runs(devices: list[Facts], models: list[Facts]) -> list[Facts]:
    """Run a bundled model on every available device, each in a process of its own."""
    available = [str(device["name"]) for device in devices if device["available"]]
    usable = [m for m in models if m["ok"] and m.get("scale") == 2]
    usable.sort(key=lambda m: m["name"] != "cvsr-small_x2")
    if not usable:
        return [{"device": name, "skipped": True, "error": "no bundled model"} for name in available]
    return [{"device": name} | _child("golden", name, str(usable[0]["path"])) for name in available]


def _child(*arguments: str) -> Facts:
    """Run one of ``_JOBS`` in a child process; return its facts, or {"error": how it died}."""
    # The parent's own search path, so that the child meets the same cvsr and the same cv2
    code = f"import sys; sys.path[:] = {sys.path!r}; from cvsr.doctor import child; child(*sys.argv[1:])"
    command = [sys.executable or "python3", "-c", code, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT, check=False, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {_TIMEOUT} seconds"}
    except OSError as error:
        return {"error": f"no child process could be started: {error}"}
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        return {"error": f"{_death(done.returncode)}{': ' + words[-1] if words else ''}"}
    try:
        facts: Facts = json.loads(done.stdout.decode(errors="replace").splitlines()[-1])
    except (ValueError, IndexError):
        return {"error": "the child process ended without an answer"}
    return facts


def _death(code: int) -> str:
    if code > 0:
        return f"the child process ended with exit code {code:#x}" if code > 255 else f"exit code {code}"
    try:
        return f"the child process was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"the child process was killed by signal {-code}"


def child(job: str, *arguments: str) -> None:
    """Do one of the jobs that may crash and write its facts as the last line of stdout. For ``_child`` only."""
    try:
        facts = _JOBS[job](*arguments)
    except Exception as error:  # whatever it is belongs in the report
        facts = {"error": f"{type(error).__name__}: {error}"}
    sys.stdout.write("\n" + json.dumps(facts) + "\n")


def _look() -> Facts:
    """Ask OpenCV what it is."""
    from cvsr._cv2 import cv2
    from cvsr.opencv import devices, engines

    info = str(cv2.getBuildInformation())
    gui = re.search(r"^\s*GUI:\s*(\S+)", info, re.MULTILINE)
    superres = getattr(cv2, "dnn_superres", None)
    # Its presence only: creating one DnnSuperResImpl breaks later nets of the process
    has_superres = hasattr(superres, "DnnSuperResImpl_create")
    facts: Facts = {
        "name": engines.opencv_name(),
        "version": str(cv2.__version__),
        "path": str(cv2.__file__),
        "contrib": hasattr(cv2, "ximgproc") or has_superres,
        "headless": gui is not None and gui[1] == "NONE",
        "dnn": hasattr(cv2, "dnn") and hasattr(cv2.dnn, "readNetFromONNX"),
        "dnn_superres": "yes" if has_superres else "no" if superres is None else "broken",
        "engines": engines.available() or {"classic": 0},
        "forced_engine": engines.forced()[0],
    }
    statuses = [{key: getattr(s, key) for key in ("name", "available", "evidence", "remedy")} for s in devices.probe()]
    try:
        models: Facts = {"models": _models()}
    except Exception as error:  # a broken index must not hide what OpenCV said
        models = {"models": [], "models_error": f"{type(error).__name__}: {error}"}
    return facts | {"devices": statuses} | models


def _models() -> list[Facts]:
    """Compare the bundled models with their checksums."""
    from cvsr.modelfiles import zoo

    found: list[Facts] = []
    for entry in zoo.models():
        note = (
            "" if entry.intact() else f"{entry.path} is missing or is not what the index says (sha256 {entry.sha256})"
        )
        facts = {"name": entry.name, "scale": entry.scale, "path": str(entry.path), "sha256": entry.sha256}
        found.append(facts | {"ok": not note, "note": note})
    return found


def _golden(device: str, model: str) -> Facts:
    """Upscale one small picture on a device and hold it against the CPU's; the CPU's against bicubic."""
    import numpy as np

    from cvsr import Upscaler
    from cvsr._cv2 import cv2
    from cvsr.image import Image
    from cvsr.opencv import devices

    y, x = np.mgrid[0:48, 0:64].astype(np.float32)
    image: Image = (0.5 + 0.45 * np.sin(x / 2 - y / 2.5)).astype(np.float32)
    upscaler = Upscaler(model, 2, device=device)
    upscaler(image)  # loads and compiles
    start = time.perf_counter()
    output = upscaler(image)
    milliseconds = round((time.perf_counter() - start) * 1000, 2)
    if device == "cpu":  # on average a model is within 0.02 of bicubic here, and scrambled pixels are 0.07 away
        bicubic = cv2.resize(image, (128, 96), interpolation=cv2.INTER_CUBIC)
        difference, allowed = float(np.abs(output - bicubic).mean()), 0.06
    else:
        reference = Upscaler(model, 2, device="cpu")(image)
        difference = float(np.abs(output - reference).max())
        allowed = 2e-2 if devices.resolve(device).half else 1e-3
    facts: Facts = {"milliseconds": milliseconds, "difference": difference, "ran_on": str(upscaler.ran_on)}
    if not difference <= allowed:  # so written that NaN fails
        facts["error"] = f"the result differs by {difference:.3g} of the range (allowed: {allowed:g})"
    return facts


_JOBS: dict[str, Callable[..., Facts]] = {"look": _look, "golden": _golden}
