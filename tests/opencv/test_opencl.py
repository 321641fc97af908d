"""The OpenCL back end on a real device; Debian's pocl-opencl-icd, which runs OpenCL on the CPU, is enough.

Each test runs in a child process: OpenCV reads the variables that select an OpenCL device once per process.

What proves that OpenCL ran, as found with OpenCV 4.6, 4.8, 4.14 and 5.0:
- OpenCL's own trace (POCL_TRACING=text) names every kernel, so it is the judge of the rest in these tests.
- ``net.dump()`` says OCV/OCL after the forward, and OCV/CPU if OpenCV refused the device. It says OCV/OCL also if
  OpenCL is off in the thread, and everything then runs on the CPU: only with ``ocl.useOpenCL()`` it is evidence.
- Times per layer (getPerfProfile) are no evidence: OpenCL is asynchronous, and the CPU has times as well.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from kit import onnxlite

pytestmark = pytest.mark.opencl

ANY_DEVICE = {"OPENCV_OPENCL_DEVICE": ":CPU:0", "OPENCV_DNN_OPENCL_ALLOW_ALL_DEVICES": "1"}
VARIABLES = (*ANY_DEVICE, "OPENCV_FORCE_DNN_ENGINE", "OPENCV_OPENCL_RUNTIME", "POCL_TRACING")

PRELUDE = """
import json, sys, threading
import numpy as np
from cvsr._cv2 import cv2
from cvsr.errors import DeviceError
from cvsr.opencv import devices, engines, ran_on

image = np.random.default_rng(0).random((1, 1, 48, 56), dtype=np.float32)

def forward(device, switch=devices.prepare):
    with switch(device):
        net = cv2.dnn.readNetFromONNX(MODEL, **engines.argument(device.name))
        net.setPreferableBackend(device.backend)
        net.setPreferableTarget(device.target)
        net.setInput(image)
        output = net.forward()
        return output, net, str(ran_on.ran_on(device, device.name, net))

def answer(**facts):
    print("\\n" + json.dumps(facts))
"""


@pytest.fixture
def model(tmp_path) -> Path:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(onnxlite.conv_chain(channels=8, blocks=2))
    return path


def run(code: str, model: Path, **environment: str) -> dict:
    clean = {key: value for key, value in os.environ.items() if key not in VARIABLES}
    source = f"import sys; sys.path[:] = {sys.path!r}; MODEL = {str(model)!r}\n{PRELUDE}\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", source],
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module", autouse=True)
def opencl_here(tmp_path_factory) -> None:
    seen = run("answer(have=cv2.ocl.haveOpenCL(), on=cv2.ocl.useOpenCL())", Path("-"), **ANY_DEVICE)
    if not seen["have"]:
        pytest.skip("cv2.ocl.haveOpenCL() is False: no OpenCL driver here (apt install pocl-opencl-icd)")
    if not seen["on"]:
        pytest.skip("OpenCL is here, but has no CPU device for OPENCV_OPENCL_DEVICE=:CPU:0")


COMPARE = """
opencl, cpu = devices.resolve("opencl"), devices.resolve("cpu")
before = cv2.ocl.useOpenCL()
output, net, said = forward(opencl)
reference, _, _ = forward(cpu)
answer(
    difference=float(np.abs(output - reference).max()), spread=float(reference.std()),
    layers=ran_on.layers(net), ran=said, engine=ran_on.engine_of(net), agrees=ran_on.agrees(output, reference),
    leaked=cv2.ocl.useOpenCL() != before,
)
"""


def test_opencl_gives_the_cpus_result_and_says_where_it_ran(model):
    facts = run(COMPARE, model, **ANY_DEVICE)
    assert facts["difference"] <= 1e-4 and facts["agrees"] is None
    assert facts["spread"] > 1e-3
    assert facts["engine"] == "classic"
    assert set(facts["layers"]) == {"OCV/OCL"}
    assert facts["ran"].startswith("opencl on OpenCV ") and "OpenCL device" in facts["ran"]
    assert not facts["leaked"]


def kernels(trace: Path) -> list[str]:
    """The names of the convolution kernels that OpenCL ran to their end."""
    lines = trace.read_text(encoding="utf-8", errors="replace").splitlines() if trace.exists() else []
    return [line for line in lines if "kernel" in line and "complete" in line and "cn" in line]


def test_opencl_itself_says_that_it_ran(model, tmp_path):
    trace = tmp_path / "trace.txt"
    run(COMPARE, model, **ANY_DEVICE, POCL_TRACING="text", POCL_TRACING_OPT=str(trace))
    if not trace.exists():
        pytest.skip("this OpenCL is no pocl, or one without tracing")
    ran = kernels(trace)
    # 5x5 of 1 plane, 3x3 of 8 planes: the convolutions of the model, by the names that OpenCV gives its kernels
    assert any("k5x5_cn1" in line for line in ran) and any("k3x3_cn8" in line for line in ran), ran


SWITCHED_OFF = """
import contextlib

@contextlib.contextmanager
def off(device):
    cv2.ocl.setUseOpenCL(False)
    yield

output, net, said = forward(devices.resolve("opencl"), off)
reference, _, _ = forward(devices.resolve("cpu"))
answer(same=bool((output == reference).all()), layers=ran_on.layers(net))
"""


def test_why_prepare_is_needed(model, tmp_path):
    """Without it nothing runs on OpenCL, though the net reports that it does: only OpenCL itself shows it."""
    trace = tmp_path / "trace.txt"
    facts = run(SWITCHED_OFF, model, **ANY_DEVICE, POCL_TRACING="text", POCL_TRACING_OPT=str(trace))
    assert kernels(trace) == []
    assert set(facts["layers"]) == {"OCV/OCL"}


REFUSED = """
try:
    devices.resolve(NAME)
except DeviceError as error:
    answer(error=str(error))
else:
    answer(error="")
"""


def test_a_cpu_device_needs_the_permission(model):
    facts = run(f"NAME = 'opencl'\n{REFUSED}", model, OPENCV_OPENCL_DEVICE=":CPU:0")
    assert "OPENCV_DNN_OPENCL_ALLOW_ALL_DEVICES=1" in facts["error"]


NOT_CONFIRMED = """
from dataclasses import replace
cpu = devices.resolve("cpu")
names = dict(name="opencl", target_name="DNN_TARGET_OPENCL", mark="OCV/OCL")
opencl = replace(cpu, target=cv2.dnn.DNN_TARGET_OPENCL, **names)
try:
    forward(opencl)
except DeviceError as error:
    answer(error=str(error))
"""


def test_opencvs_silent_return_to_the_cpu_is_found(model):
    """A device that passed the checks, and a net that OpenCV moved to the CPU with only a warning."""
    facts = run(NOT_CONFIRMED, model, OPENCV_OPENCL_DEVICE=":CPU:0")
    assert "ran elsewhere without an error" in facts["error"] and "OCV/CPU" in facts["error"]


def test_disabled_opencl_is_refused(model):
    disabled = {**ANY_DEVICE, "OPENCV_OPENCL_DEVICE": "disabled"}
    assert "useOpenCL() stays False" in run(f"NAME = 'opencl'\n{REFUSED}", model, **disabled)["error"]


def test_16_bits_are_refused_if_opencl_would_compute_in_32(model):
    half = run("answer(half=cv2.ocl.Device_getDefault().isExtensionSupported('cl_khr_fp16'))", model, **ANY_DEVICE)
    error = run(f"NAME = 'opencl-fp16'\n{REFUSED}", model, **ANY_DEVICE)["error"]
    assert half["half"] == (error == "")


THREADS = """
opencl = devices.resolve("opencl")
reference, _, _ = forward(devices.resolve("cpu"))
differences, switches = [], []

def work():
    cv2.ocl.setUseOpenCL(False)
    output, _, _ = forward(opencl)
    differences.append(float(np.abs(output - reference).max()))
    switches.append(cv2.ocl.useOpenCL())

threads = [threading.Thread(target=work) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
answer(differences=differences, switches=switches)
"""


def test_every_thread_has_its_own_switch(model):
    facts = run(THREADS, model, **ANY_DEVICE)
    assert len(facts["differences"]) == 2 and max(facts["differences"]) <= 1e-4
    assert facts["switches"] == [False, False]


UPSCALER = """
from cvsr import Upscaler
rng = np.random.default_rng(1)
picture = cv2.resize(rng.integers(0, 256, (12, 10, 3), dtype=np.uint8), (90, 75), interpolation=cv2.INTER_CUBIC)
on_opencl, on_cpu = Upscaler(MODEL, 2, device="OpenCL", tile=32), Upscaler(MODEL, 2, device="cpu")
a, b = on_opencl(picture), on_cpu(picture)
answer(shape=a.shape, steps=int(np.abs(a.astype(int) - b.astype(int)).max()), ran=str(on_opencl.ran_on),
       auto=Upscaler(MODEL, 2).ran_on.device)
"""


def test_upscaler_on_opencl_in_tiles_equals_the_cpus(model):
    facts = run(UPSCALER, model, **ANY_DEVICE)
    assert facts["shape"] == [150, 180, 3]
    assert facts["steps"] <= 1
    assert facts["ran"].startswith("opencl on OpenCV") and "OCV/OCL" in facts["ran"]
    assert facts["auto"] == "cpu", "auto leaves OpenCL alone"


def test_upscaler_refuses_opencl_if_it_is_missing(model):
    code = f"""
from cvsr import Upscaler
try:
    Upscaler({str(model)!r}, 2, device="opencl")
except DeviceError as error:
    answer(error=str(error))
"""
    assert "Device 'opencl' is not available" in run(code, model, OPENCV_OPENCL_DEVICE="disabled")["error"]
