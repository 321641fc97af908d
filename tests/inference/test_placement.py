"""Putting a model on a device: what "auto" rejects, and what a named device raises. The devices are fakes."""

import dataclasses

import numpy as np
import pytest
from kit import onnxlite

import cvsr
from cvsr.errors import DeviceError
from cvsr.inference import placement
from cvsr.inference.network import Network
from cvsr.opencv import devices

CPU = devices.resolve("cpu")
CUDA = dataclasses.replace(
    CPU, name="cuda", backend_name="DNN_BACKEND_CUDA", target_name="DNN_TARGET_CUDA", evidence="a GPU"
)

WRONG = {
    "NaN": lambda right: np.full_like(right, np.nan),
    "constant": lambda right: np.zeros_like(right),
    "error": lambda right: right + 0.05,
    "shape": lambda right: right[:, :1],
}


@pytest.fixture
def info(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(onnxlite.conv_chain(4, 1, 2, 0))
    return cvsr.open_model(path)


@pytest.fixture
def gpu(monkeypatch):
    """A machine with a GPU whose results are what ``gpu(function of the right ones)`` makes of them."""
    forward = Network.forward

    def install(spoil):
        def fake(self, blob, requested=""):
            if self.device.name == "cpu":
                return forward(self, blob, requested)
            right = forward(Network(self.info, CPU), blob)
            self.ran_on = cvsr.RanOn(
                "4.14.0", "classic", "DNN_BACKEND_CUDA", "DNN_TARGET_CUDA", "cuda", requested, "", 1
            )
            return spoil(right)

        monkeypatch.setattr(Network, "forward", fake)
        chosen = {"auto": [CUDA, CPU], "cuda": [CUDA], "cpu": [CPU]}
        monkeypatch.setattr(devices, "candidates", lambda name: chosen[name])

    return install


def test_auto_takes_a_device_that_agrees_with_the_cpu(gpu, info):
    gpu(lambda right: right + 1e-6)
    upscaler = cvsr.Upscaler(info, 2)
    assert upscaler.ran_on.device == "cuda" and upscaler.ran_on.requested == "auto"
    assert upscaler(np.zeros((20, 30, 3), np.uint8)).shape == (40, 60, 3)


@pytest.mark.parametrize("wrong", WRONG)
def test_auto_skips_a_device_with_wrong_results_and_warns(gpu, info, wrong):
    gpu(WRONG[wrong])
    with pytest.warns(RuntimeWarning, match=f"skips cuda: .*wrong results for .*{wrong}"):
        assert placement.network(info, "auto", False).device.name == "cpu"


@pytest.mark.parametrize("wrong", WRONG)
def test_a_named_device_with_wrong_results_raises(gpu, info, wrong):
    gpu(WRONG[wrong])
    with pytest.raises(DeviceError, match=f"{wrong}.*device='cpu'"):
        cvsr.Upscaler(info, 2, device="cuda")


def test_a_device_that_fails_is_skipped_too(gpu, info):
    def fail(_):
        raise DeviceError("cuda failed on net: out of memory")

    gpu(fail)
    with pytest.warns(RuntimeWarning, match="out of memory"):
        assert cvsr.Upscaler(info, 2).ran_on.device == "cpu"
    with pytest.raises(DeviceError, match="out of memory"):
        cvsr.Upscaler(info, 2, device="CUDA")
