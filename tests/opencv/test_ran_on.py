"""Where a net really ran, read from its dump, and whether its output agrees with the CPU's."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from kit import onnxlite
from kit.fakecv2 import CUDA, ENGINES_50, NPUS

from cvsr.errors import DeviceError
from cvsr.opencv import devices, engines, ran_on, threads


def dump(*labels: str) -> SimpleNamespace:
    """A net whose dump has the lines that OpenCV writes."""
    line = (
        '\t"conv" [label="conv\\nConvolution\\noutput: 1 x 16\\l{}\\n{}" fillcolor="#fccde5" style=filled shape=box]\n'
    )
    text = "digraph G {\n" + "".join(line.format(label, " }" if i % 2 else "") for i, label in enumerate(labels))
    return SimpleNamespace(dump=lambda: text)


def test_confirm_reads_where_the_layers_went(use):
    use(targets=CUDA | NPUS, gpus=1)
    cuda = devices.resolve("cuda")
    net = dump("CUDA/CUDA", "CUDA/CUDA", "OCV/CUDA")
    assert ran_on.layers(net) == {"CUDA/CUDA": 2, "OCV/CUDA": 1}
    assert "2 of 3 layers on CUDA/CUDA, 1 of 3 layers on OCV/CUDA" in ran_on.confirm(cuda, net)
    with pytest.raises(DeviceError, match="ran elsewhere without an error: 2 of 2 layers on OCV/CPU"):
        ran_on.confirm(cuda, dump("OCV/CPU", "OCV/CPU"))
    with pytest.raises(DeviceError, match="OCV/NPU"):
        ran_on.confirm(devices.resolve("timvx"), dump("OCV/NPU"))
    assert "does not report" in ran_on.confirm(cuda, dump())


def test_confirm_refuses_the_new_engine_for_a_device(use):
    use("5.0.0", CUDA, gpus=1, engines=ENGINES_50)
    net = SimpleNamespace(dump=lambda: '{\n   model_format: "ONNX"')
    assert ran_on.engine_of(net) == "new"
    with pytest.raises(DeviceError, match="the new engine, which runs on the CPU only"):
        ran_on.confirm(devices.resolve("cuda"), net)
    assert ran_on.ran_on(devices.resolve("cpu"), "auto", net).engine == "new"


def test_ran_on_is_one_readable_line(use):
    use(targets=CUDA, gpus=1)
    record = ran_on.ran_on(devices.resolve("cuda"), "auto", dump("CUDA/CUDA"))
    count = threads.count()
    assert (record.opencv, record.engine, record.device, record.threads) == ("4.14.0", "classic", "cuda", count)
    where = "DNN_BACKEND_CUDA/DNN_TARGET_CUDA, classic engine"
    assert str(record).startswith(f"cuda (asked: auto) on OpenCV 4.14.0: {where}, {count} threads; ")
    assert "\n" not in str(record)


def test_agrees():
    reference = np.linspace(-0.1, 0.1, 48, dtype=np.float32).reshape(1, 4, 3, 4)
    assert ran_on.agrees(reference + np.float32(1e-4), reference) is None
    assert "error 0.001" in str(ran_on.agrees(reference + np.float32(1e-3), reference))
    assert ran_on.agrees(reference + np.float32(1e-3), reference, half=True) is None
    assert "shape" in str(ran_on.agrees(reference[:, :1], reference))
    assert "constant 0 " in str(ran_on.agrees(np.zeros_like(reference), reference))
    assert "NaN" in str(ran_on.agrees(np.full_like(reference, np.nan), reference))
    flat = np.zeros_like(reference)
    assert ran_on.agrees(flat, flat) is None


@pytest.fixture
def model_file(tmp_path):
    path = tmp_path / "tiny.onnx"
    path.write_bytes(onnxlite.conv_chain())
    return path


def forward(model_file, device, shape=(1, 1, 64, 64), **options):
    net = devices.cv2.dnn.readNetFromONNX(str(model_file), **options)
    net.setPreferableBackend(device.backend)
    net.setPreferableTarget(device.target)
    net.setInput(np.random.default_rng(0).random(shape, dtype=np.float32))
    return net, net.forward()


def test_the_real_opencv_runs_on_the_cpu_and_says_so(model_file):
    cpu = devices.resolve("cpu")
    net, output = forward(model_file, cpu, **engines.argument(cpu.name))
    record = ran_on.ran_on(cpu, "cpu", net)
    assert record.engine == "classic" and "layers on OCV/CPU" in record.evidence
    assert ran_on.agrees(net.forward(), output) is None, "reading the evidence changes nothing"


def test_the_real_new_engine_is_recognised(model_file):
    if "ENGINE_NEW" not in engines.available():
        pytest.skip("only OpenCV 5 has two engines")
    net, _ = forward(model_file, devices.resolve("cpu"), engine=engines.available()["ENGINE_NEW"])
    assert ran_on.engine_of(net) == "new"
