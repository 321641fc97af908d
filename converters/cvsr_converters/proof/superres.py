"""Verify a file for dnn_superres: in TensorFlow, and in OpenCV's module itself, in child processes.

One DnnSuperResImpl upscales images of the sizes A, B and A again. It replaces DepthToSpace for other networks in its
process, too: never create one here.
"""

import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from cvsr.modelfiles.superres_files import EDSR_MEAN
from cvsr_converters.facts import DEFAULTS, Facts
from cvsr_converters.proof import runtime_model
from cvsr_converters.proof.report import TOLERANCE, Row
from cvsr_converters.proof.verify import ABA, distance, run_child
from cvsr_converters.targets import standalone
from cvsr_converters.targets.graphdef_writer import OUTPUT
from cvsr_converters.targets.pb import family

SIZES = (40, 56), (64, 48)


def verify_superres(data, facts, run, pythons=()):
    """Compare a file with the network that it came from; return a list of :class:`~cvsr_converters.proof.report.Row`.

    ``run``: of an :class:`~cvsr_converters.original.Original`, or returning one array; ``facts``: those of its output.
    TensorFlow runs the graph; in child processes, the dnn_superres of this interpreter and of each of ``pythons``
    upscales images, which may differ by one step of 8 bits. Errors are parts of the range.
    """
    facts = DEFAULTS | facts
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (*size, 3), np.uint8) for size in SIZES]
    plain = _plain(run, facts)
    make = _luma if facts.color == "luma" else _bgr
    wanted = [make(image, plain, facts) for image in images]
    rows = [_in_tensorflow(data, images, wanted)]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "model.pb").write_bytes(data)
        for place in (0, 1):
            np.save(Path(folder, f"x{place}.npy"), images[place])
            np.save(Path(folder, f"y{place}.npy"), wanted[place])
        for python in dict.fromkeys([sys.executable, *map(str, pythons)]):
            rows.append(_in_opencv(python, folder, family(facts), facts.scale))
    return rows


def _plain(run, facts):
    """Return the network as a function from its input to its whole image."""
    whole = runtime_model.finish(facts)

    def call(blob):
        output = run(blob)
        return whole(np.asarray(output[0] if isinstance(output, list) else output), [blob])

    return call


def _luma(image, plain, facts):
    """Return the network's luma, (H * s, W * s) in 0..1, for an image."""
    white, mean = np.float32(facts.range), np.float32((facts.mean or [0])[0])
    y = cv2.cvtColor(image, cv2.COLOR_BGR2YCrCb)[None, None, :, :, 0] * np.float32(1 / 255)
    return (plain(y * white - mean) + mean)[0, 0] / white


def _bgr(image, plain, facts):
    """Return the network's result, (H * s, W * s, 3) in 0..255, for an image."""
    blob = image.transpose(2, 0, 1)[None].astype(np.float32)
    return standalone.host(plain, facts | Facts(tail="image", skip="none"))(blob)[0].transpose(1, 2, 0)


def _in_tensorflow(data, images, wanted):
    """Return the row of TensorFlow, which runs the graph itself."""
    import tensorflow as tf

    definition = tf.compat.v1.GraphDef.FromString(data)
    function = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(definition, name=""), [])
    function = function.prune("image:0", f"{OUTPUT}:0")
    mean, errors = np.array(EDSR_MEAN, np.float32), []
    for image, whole in zip(images, wanted, strict=True):
        if whole.ndim == 2:
            luma = cv2.cvtColor(image, cv2.COLOR_BGR2YCrCb)[None, :, :, :1] * np.float32(1 / 255)
            made = function(tf.constant(luma)).numpy()[0, 0]
        else:
            made = np.clip(function(tf.constant(image[None] - mean)).numpy()[0].transpose(1, 2, 0) + mean, 0, 255)
        errors.append(distance(made, whole))
    result = "ok" if max(errors) <= TOLERANCE else "wrong"
    return Row(f"TensorFlow {tf.__version__}", "", result, max(errors))


def _in_opencv(python, folder, setting, scale):
    """Return the row of the dnn_superres that ``python`` has."""
    said, failure = run_child(python, folder, _child, setting, scale, ABA)
    runtime = f"OpenCV {said['opencv']}" if "opencv" in said else f"OpenCV of {Path(python).parent.parent.name}"
    if failure or "steps" not in said:
        return Row(runtime, "dnn_superres", "error", note=failure or "it ended without a result")
    steps = said["steps"]
    right = max(steps) <= 1  # rounding to 8 bits may differ by one step
    note = "" if right else f"steps of 8 bits at A, B, A: {', '.join(map(str, steps))}"
    return Row(runtime, "dnn_superres", "ok" if right else "wrong", max(steps) / 255, said["ms"], note)


def _child(family, scale, order):
    """Upscale in the current folder; print JSON. It runs in other interpreters, and uses no globals but np."""
    import json
    import sys
    import time

    import cv2

    def say(facts):
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()  # before anything can crash

    say({"opencv": cv2.__version__})
    if not hasattr(getattr(cv2, "dnn_superres", None), "DnnSuperResImpl_create"):
        raise RuntimeError("this OpenCV has no dnn_superres: install opencv-contrib-python")
    module = cv2.dnn_superres.DnnSuperResImpl_create()
    module.readModel("model.pb")
    module.setModel(family, scale)
    steps, times = [], []
    for size in order:
        image, wanted = np.load(f"x{size}.npy"), np.load(f"y{size}.npy")
        begun = time.perf_counter()
        picture = module.upsample(image)
        times.append(1000 * (time.perf_counter() - begun))
        if wanted.ndim == 2:  # luma: color is added as in this OpenCV, with bilinear chroma, rounded to 8 bits
            _, *chroma = cv2.split(cv2.cvtColor(image, cv2.COLOR_BGR2YCrCb) * np.float32(1 / 255))
            chroma = [cv2.resize(c, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR) for c in chroma]
            wanted = np.clip(np.rint(np.dstack([wanted, *chroma]) * np.float32(255)), 0, 255)
            wanted = cv2.cvtColor(wanted.astype(np.uint8), cv2.COLOR_YCrCb2BGR)
        same = picture.shape == wanted.shape
        steps.append(int(np.abs(picture - np.rint(wanted).astype(int)).max()) if same else 255)
    say({"steps": steps, "ms": min(times)})
