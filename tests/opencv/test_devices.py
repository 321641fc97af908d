"""Which devices are available, by what evidence, and what is said of the others."""

from __future__ import annotations

import threading

import pytest
from kit.fakecv2 import CUDA, CUDA_INFO, ENGINES_50, ENGINES_LATER, NPUS, FakeOpenCL

from cvsr.errors import DeviceError, OptionError
from cvsr.opencv import devices, engines


def refusal(name: str) -> str:
    with pytest.raises(DeviceError) as error:
        devices.resolve(name)
    return str(error.value)


def names(requested: str) -> list[str]:
    return [device.name for device in devices.candidates(requested)]


def test_cpu_wheel_has_the_cpu_and_says_why_nothing_else(use):
    use()
    assert [status.name for status in devices.probe() if status.available] == ["cpu"]
    assert names("auto") == ["cpu"]
    message = refusal("cuda")
    assert "OpenCV 4.14.0 from /somewhere/cv2 was built without CUDA" in message.replace("\\", "/")
    assert "getAvailableTargets(DNN_BACKEND_CUDA) is empty, cv2.cuda.getCudaEnabledDeviceCount() is 0" in message
    assert "OPENCV_DNN_CUDA" in message and "use device='cpu'" in message


def test_auto_on_a_cpu_wheel_starts_no_driver(use):
    """Starting one crashes a process that has loaded TensorFlow. The line is from a wheel's build information."""
    cv2 = use(info="    Unavailable:                 alphamat cannops cudaarithm timvxops\n")
    devices.candidates("auto")
    assert cv2.asked == []


def test_every_refusal_has_evidence_and_a_remedy(use):
    use()
    for status in devices.probe():
        assert status.evidence
        assert status.available or (status.remedy and status.device is None)


def test_cuda_build_with_a_gpu(use):
    use(targets=CUDA, gpus=1, info=CUDA_INFO)
    assert names("auto") == ["cuda", "cpu"]
    device = devices.resolve("CUDA")
    assert (device.backend, device.target) == (5, 6)
    assert (device.backend_name, device.target_name) == ("DNN_BACKEND_CUDA", "DNN_TARGET_CUDA")
    assert not device.half
    assert devices.resolve(" Cuda-FP16 ").half


@pytest.mark.parametrize("listed", [{}, CUDA])  # versions differ in whether they list CUDA without a GPU
@pytest.mark.parametrize("gpus", [0, -1])
def test_cuda_build_without_a_gpu(use, listed, gpus):
    use(targets=listed, gpus=gpus, info=CUDA_INFO)
    assert names("auto") == ["cpu"]
    assert "was built with CUDA, but finds no usable GPU" in refusal("cuda")
    assert "nvidia-smi" in refusal("cuda-fp16")


def test_cuda_without_dnn(use):
    use(gpus=1, info=CUDA_INFO)
    assert names("auto") == ["cpu"]
    assert "its dnn module cannot use it" in refusal("cuda")
    assert "OPENCV_DNN_CUDA" in refusal("cuda")


def test_gpu_without_16_bits(use):
    use(targets={"DNN_BACKEND_CUDA": ["DNN_TARGET_CUDA"]}, gpus=1)
    message = refusal("cuda-fp16")
    assert "Use device='cuda'" in message and "cpu" not in message


def test_cuda_build_without_the_cuda_bindings_is_believed(use):
    use(targets=CUDA, gpus=None)
    assert names("auto") == ["cuda", "cpu"]


def test_accelerators(use):
    use(targets=NPUS, info="  Tim-VX:   YES\n  CANN:   YES\n")
    assert names("auto") == ["cann", "timvx", "cpu"]
    assert devices.resolve("timvx").target_name == "DNN_TARGET_NPU"


def test_constant_missing_from_an_old_version(use):
    use("4.6.0", without=("DNN_BACKEND_CANN",))
    assert "no cv2.dnn.DNN_BACKEND_CANN" in refusal("cann")


def test_unknown_name_lists_the_names(use):
    use()
    with pytest.raises(OptionError, match=r"gpu.*auto, cpu, cuda, cuda-fp16, opencl"):
        devices.resolve("gpu")


def test_a_driver_that_throws_is_an_answer(use):
    cv2 = use(gpus=1, targets=CUDA)

    def throw(*args):
        raise RuntimeError("driver")

    cv2.dnn.getAvailableTargets = cv2.cuda.getCudaEnabledDeviceCount = throw
    assert "is None" in refusal("cuda")
    assert names("auto") == ["cpu"]


def test_classic_engine_on_5(use):
    use("5.0.0", CUDA, gpus=1, engines=ENGINES_50)
    assert names("auto") == ["cuda", "cpu"]
    for name in ("cuda", "cpu"):
        assert engines.argument(name, exact=True) == {"engine": 1}
    assert engines.available() == ENGINES_50


def test_later_5_without_the_classic_engine(use):
    use("5.2.0", CUDA, gpus=1, engines=ENGINES_LATER)
    assert names("auto") == ["cpu"]
    assert "has no ENGINE_CLASSIC" in refusal("cuda") and "OpenCV 4.x" in refusal("cuda")
    cpu = devices.resolve("cpu")
    assert engines.argument(cpu.name) == {}
    assert engines.argument(cpu.name, exact=True) == {"engine": 2}


def test_engine_argument_refuses_a_device_that_lost_its_engine(use):
    use("5.0.0", CUDA, gpus=1, engines=ENGINES_50)
    cuda = devices.resolve("cuda")
    use("5.2.0", CUDA, gpus=1, engines=ENGINES_LATER)
    with pytest.raises(DeviceError, match="has no ENGINE_CLASSIC"):
        engines.argument(cuda.name)


def test_no_engines_on_4(use):
    use(targets=CUDA, gpus=1)
    assert engines.available() == {}
    assert engines.argument("cuda", exact=True) == {}


def test_forced_engine_is_told(use, monkeypatch):
    use("5.0.0", CUDA, gpus=1, engines=ENGINES_50)
    monkeypatch.setenv("OPENCV_FORCE_DNN_ENGINE", "2")
    assert "OPENCV_FORCE_DNN_ENGINE=2 in the environment forces ENGINE_NEW" in refusal("cuda")
    assert "Unset OPENCV_FORCE_DNN_ENGINE" in refusal("cuda")
    assert "forces ENGINE_NEW" in devices.resolve("cpu").evidence
    monkeypatch.setenv("OPENCV_FORCE_DNN_ENGINE", "1")
    assert "forces ENGINE_CLASSIC" in devices.resolve("cuda").evidence
    monkeypatch.setenv("OPENCV_FORCE_DNN_ENGINE", "3")  # AUTO: what the variable says when it is not set
    assert "forces" not in devices.resolve("cuda").evidence


def test_opencl_on_a_gpu(use):
    cv2 = use(ocl=FakeOpenCL())
    device = devices.resolve("opencl")
    assert "OpenCL device 'Fake' (GPU, OpenCL 3.0)" in device.evidence
    assert names("auto") == ["cpu"], "auto leaves OpenCL alone"
    assert not cv2.ocl.on, "asking leaks no switch"
    assert "32 bits" in refusal("opencl-fp16")


def test_opencl_in_16_bits_needs_an_intel_gpu(use):
    use(ocl=FakeOpenCL(extensions=("cl_khr_fp16",), intel=True))
    assert devices.resolve("opencl-fp16").half
    use(ocl=FakeOpenCL(extensions=("cl_khr_fp16",)))
    assert "Use device='opencl'" in refusal("opencl-fp16")


def test_opencl_that_is_absent_disabled_or_a_cpu(use, monkeypatch):
    use(info="  OpenCL:   YES (no extra features)\n")
    assert "OpenCL driver" in refusal("opencl")
    use()
    assert "WITH_OPENCL" in refusal("opencl")
    use(ocl=FakeOpenCL(kind=None))
    assert "useOpenCL() stays False" in refusal("opencl")
    use(ocl=FakeOpenCL(kind=2))
    assert "OPENCV_DNN_OPENCL_ALLOW_ALL_DEVICES=1" in refusal("opencl")
    monkeypatch.setenv("OPENCV_DNN_OPENCL_ALLOW_ALL_DEVICES", "1")
    assert "not a GPU" in devices.resolve("opencl").evidence


@pytest.mark.parametrize("before", [False, True])
def test_prepare_restores_the_switch_also_after_an_error(use, before):
    cv2 = use(ocl=FakeOpenCL(enabled=before))
    device = devices.resolve("opencl")
    with pytest.raises(ZeroDivisionError), devices.prepare(device):
        assert cv2.ocl.on
        raise ZeroDivisionError
    assert cv2.ocl.on == before
    with devices.prepare(devices.resolve("cpu")):
        assert cv2.ocl.on == before


def test_prepare_raises_if_the_thread_cannot_use_opencl(use):
    cv2 = use(ocl=FakeOpenCL())
    device = devices.resolve("opencl")
    cv2.ocl.present = False
    with pytest.raises(DeviceError, match="cannot be enabled in this thread"), devices.prepare(device):
        pass


def test_the_real_switch_is_as_before_in_every_thread():
    seen: list[tuple[bool, bool]] = []

    def work():
        before = devices.cv2.ocl.useOpenCL()
        devices.probe()
        seen.append((before, devices.cv2.ocl.useOpenCL()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    work()
    assert len(seen) == 2 and all(before == after for before, after in seen)
