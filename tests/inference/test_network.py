"""Networks on cv2.dnn: legacy .pb files beside the original, engines, errors."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from kit import onnxlite

import cvsr
from cvsr.errors import ModelError
from cvsr.inference.network import Network
from cvsr.modelfiles import zoo
from cvsr.opencv import devices, engines

LEGACY = """
import sys
import cv2, numpy as np, cvsr
from skimage import data
image = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR)[100:180, 180:280]
gray = image[:, :, 1].copy()
mine = {}
for path in sys.argv[1:]:
    info = cvsr.open_model(path)
    mine[path] = info, cvsr.upscale(gray, info.scale, model=path), cvsr.upscale(image, info.scale, model=path)
if not hasattr(getattr(cv2, "dnn_superres", None), "DnnSuperResImpl_create"):
    print("plain")
    sys.exit()
for path, (info, luma, color) in mine.items():
    original = cv2.dnn_superres.DnnSuperResImpl_create()
    original.readModel(path)
    original.setModel(info.name.split("_")[0].split("-")[0].lower(), info.scale)
    worst = [int(np.abs(original.upsample(x).astype(int) - y).max()) for x, y in ((image, color),)]
    try:
        worst.append(int(np.abs(original.upsample(gray).astype(int) - luma).max()))
    except cv2.error:
        worst.append(0)  # the original does not take gray on every version
    print(info.name, *worst)
"""


def test_public_pb_files_give_the_originals_pictures(data_root):
    """In a child: creating one DnnSuperResImpl harms other networks of its process."""
    files = sorted((data_root / "models" / "dnn_superres_pb").glob("*.pb"))
    if not files:
        pytest.skip("CVSR_DATA has no models/dnn_superres_pb")
    paths = os.pathsep.join([str(Path(cvsr.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", LEGACY, *map(str, files)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if "plain" in done.stdout:
        pytest.skip("this OpenCV has no dnn_superres to compare with")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert len(rows) == len(files)
    # gray goes through the network alone; color differs by the original's extra rounding of chroma to 8 bits
    assert all(int(color) <= 3 and int(gray) <= 1 for _, color, gray in rows), done.stdout


def test_a_net_for_each_thread(tmp_path):
    import threading

    path = tmp_path / "net.onnx"
    path.write_bytes(onnxlite.conv_chain(4, 1, 2, 0))
    network = Network(cvsr.open_model(path), devices.resolve("cpu"))
    nets = []

    def work():
        network.forward(onnxlite.np.zeros((1, 1, 8, 8), "float32"))
        nets.append(network._local.net)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(net) for net in nets}) == 3


def test_what_opencv_cannot_load_is_a_model_error(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(onnxlite.conv_chain(4, 1, 2, 0).replace(b"\x22\x04Relu", b"\x22\x04Rely"))
    with pytest.raises(ModelError, match=r"net\.onnx"):
        cvsr.Upscaler(cvsr.open_model(path), 2)


def test_deconvolutions_run_on_the_new_engine_if_there_is_one(monkeypatch):
    """On 5.0 the classic one takes ten times as long for LapSRN, and fifty times for a ConvTranspose alone."""
    monkeypatch.setattr(engines, "available", lambda: {"ENGINE_CLASSIC": 1, "ENGINE_NEW": 2})
    monkeypatch.setattr(engines, "forced", lambda: ("", True))
    assert engines.argument("cpu", ops=("Conv", "ConvTranspose")) == {"engine": 2}
    monkeypatch.setattr(engines, "is_4x", lambda: False)
    assert engines.is_classic({"engine": 1}) and not engines.is_classic({"engine": 2})
    monkeypatch.setattr(engines, "forced", lambda: ("forced to the new one", False))
    assert not engines.is_classic({"engine": 1})
    monkeypatch.setattr(engines, "forced", lambda: ("", True))
    assert engines.argument("cpu", ops=("Conv",)) == engines.argument("cuda", ops=("ConvTranspose",)) == {"engine": 1}
    monkeypatch.setattr(engines, "available", dict)
    assert engines.argument("cpu", ops=("ConvTranspose",)) == {}


class Recorded:
    """A net that only records its calls."""

    def __init__(self):
        self.asked = []

    def __getattr__(self, name):
        return lambda *arguments: self.asked.append((name, *arguments))


@pytest.mark.parametrize(
    ("model", "alone"), [("fsrcnn", True), ("lapsrn", True), ("cvsr-small", False), ("FSRCNN_x2.pb", True)]
)
def test_activations_are_fused_only_if_that_is_not_slower(model, alone, monkeypatch):
    info = zoo.chosen("fsrcnn" if model.endswith(".pb") else model, 2)
    if model.endswith(".pb"):
        info = cvsr.open_model(info.path.with_name(model))
    network, net = Network(info, devices.resolve("cpu")), Recorded()
    monkeypatch.setattr(engines, "is_classic", lambda argument: True)
    network.configured(net)
    assert (("enableFusion", False) in net.asked) is alone
    monkeypatch.setattr(engines, "is_classic", lambda argument: False)
    network.configured(new := Recorded())
    assert new.asked == [], "5.0's new engine forgets the network"
