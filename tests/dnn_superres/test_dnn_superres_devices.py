"""Devices of the drop-in: constants, the fallback to the CPU, strict mode; and a tutorial's script."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cvsr
from cvsr import dnn_superres
from cvsr._cv2 import cv2
from cvsr.dnn_superres import drop_in
from cvsr.errors import DeviceError
from cvsr.opencv import devices

ROOT = Path(cvsr.__file__).parents[1]
CUDA = (getattr(cv2.dnn, "DNN_BACKEND_CUDA", 5), getattr(cv2.dnn, "DNN_TARGET_CUDA", 6))
no_cuda = pytest.mark.skipif(
    any(status.name == "cuda" and status.available for status in devices.probe()), reason="CUDA is here"
)


@no_cuda
def test_a_missing_device_is_reported_once_and_the_cpu_is_used(models, bgr, recwarn, monkeypatch):
    monkeypatch.delenv("CVSR_STRICT", raising=False)
    sr = dnn_superres.DnnSuperResImpl(models / "fsrcnn_x2.pb", "fsrcnn", 2)
    wanted = sr.upsample(bgr)
    for _ in range(2):
        sr.setPreferableBackend(CUDA[0])
        sr.setPreferableTarget(CUDA[1])
        assert np.array_equal(sr.upsample(bgr), wanted)
    (told,) = (warning for warning in recwarn if warning.category is dnn_superres.DeviceWarning)
    assert "OPENCV_DNN_CUDA" in str(told.message) and "CVSR_STRICT=1" in str(told.message)
    assert Path(told.filename) == Path(__file__), "it points at the caller's line"


@no_cuda
def test_strict_mode_raises_instead(models, monkeypatch):
    monkeypatch.setenv("CVSR_STRICT", "1")
    sr = dnn_superres.DnnSuperResImpl(models / "fsrcnn_x2.pb", "fsrcnn", 2)
    with pytest.raises(DeviceError, match="OPENCV_DNN_CUDA"):
        sr.setPreferableBackend(CUDA[0])
    with pytest.raises(DeviceError, match="not a device"):
        sr.setPreferableTarget(4711)
    sr.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    sr.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)


def test_a_device_that_fails_later_is_told_too(models, bgr, monkeypatch):
    """It exists but gives wrong results, which shows when the network first runs."""
    monkeypatch.delenv("CVSR_STRICT", raising=False)
    upscaler = drop_in.Upscaler

    def failing(*args, device, **options):
        if device != "cpu":
            raise DeviceError("opencl gives wrong results")
        return upscaler(*args, device=device, **options)

    monkeypatch.setattr(drop_in, "Upscaler", failing)
    monkeypatch.setattr(devices, "resolve", lambda name: None)
    sr = dnn_superres.DnnSuperResImpl(models / "fsrcnn_x2.pb", "fsrcnn", 2)
    sr.setPreferableTarget(cv2.dnn.DNN_TARGET_OPENCL)
    with pytest.warns(dnn_superres.DeviceWarning, match="wrong results"):
        assert sr.upsample(bgr).shape[0] == 82


def test_constants_of_opencv_mean_devices(monkeypatch):
    dnn = cv2.dnn
    pairs = {
        (0, 0): "cpu",
        (dnn.DNN_BACKEND_OPENCV, 0): "cpu",
        (dnn.DNN_BACKEND_OPENCV, dnn.DNN_TARGET_OPENCL): "opencl",
        (0, dnn.DNN_TARGET_OPENCL_FP16): "opencl-fp16",
        (CUDA[0], 0): "cuda",
        (0, CUDA[1]): "cuda",
        CUDA: "cuda",
        (CUDA[0], dnn.DNN_TARGET_CUDA_FP16): "cuda-fp16",
        (dnn.DNN_BACKEND_INFERENCE_ENGINE, 0): "openvino",
        (CUDA[0], dnn.DNN_TARGET_OPENCL): None,
        (77, 0): None,
    }
    assert {pair: devices.meant(*pair) for pair in pairs} == pairs


TUTORIAL = """
import sys
import cv2
cv2.imshow = cv2.waitKey = cv2.destroyAllWindows = lambda *arguments: None  # nobody looks
{imports}
# Create an SR object
sr = dnn_superres.DnnSuperResImpl_create()

# Read image
image = cv2.imread("input.png")

# Read the desired model
path = "fsrcnn_x4.pb"
sr.readModel(path)

# Set CUDA backend and target to enable GPU inference
sr.setPreferableBackend(cv2.dnn.DNN_BACKEND_CUDA)
sr.setPreferableTarget(cv2.dnn.DNN_TARGET_CUDA)

# Set the desired model and scale to get correct pre- and post-processing
sr.setModel("fsrcnn", 4)

# Upscale the image
result = sr.upsample(image)
cv2.imshow("result", result)
cv2.waitKey(0)
cv2.imwrite("./upscaled.png", result)
"""


@no_cuda
@pytest.mark.parametrize(
    "imports",
    [
        "import cvsr.dnn_superres as dnn_superres",
        "from cvsr import dnn_superres",
        "import cvsr; dnn_superres = cvsr.dnn_superres",
    ],
)
@pytest.mark.parametrize("strict", ["", "1"])
def test_a_tutorial_s_script_needs_another_import_only(models, bgr, imports, strict):
    cv2.imwrite(str(models / "input.png"), bgr)
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", TUTORIAL.format(imports=imports)],
        env={**os.environ, "PYTHONPATH": paths, "CVSR_STRICT": strict},
        cwd=models, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    if strict:
        assert done.returncode == 1 and "DeviceError" in done.stderr and "OPENCV_DNN_CUDA" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("DeviceWarning:") == 1
    result = cv2.imread(str(models / "upscaled.png"))
    assert np.array_equal(result, cvsr.upscale(bgr, 4, model=models / "fsrcnn_x4.pb"))


def test_importing_cvsr_does_not_load_it():
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import cvsr; sys.exit('cvsr.dnn_superres' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
