"""The drop-in for cv2.dnn_superres: the methods of the original, files, devices, several outputs, threads."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from kit import graphdeflite, onnxlite

import cvsr
from cvsr import dnn_superres
from cvsr._cv2 import cv2
from cvsr.dnn_superres import drop_in
from cvsr.errors import DeviceError, ImageError, ModelError, ModelNotFoundError, OptionError
from cvsr.opencv import devices

ROOT = Path(cvsr.__file__).parents[1]


@pytest.fixture
def models(tmp_path):
    """A folder of small networks of all families; names say what they are, except for mine.pb."""
    for name, data in graphdeflite.FAMILIES.items():
        (tmp_path / f"{name}.pb").write_bytes(data)
    (tmp_path / "mine.pb").write_bytes(graphdeflite.espcn(3))
    (tmp_path / "net.onnx").write_bytes(onnxlite.conv_chain(4, 1, 2, 0, name="net"))
    return tmp_path


@pytest.fixture
def bgr(photo):
    return photo("astronaut")[40:81, 180:237]


def ready(path, algo, scale, **options):
    sr = dnn_superres.DnnSuperResImpl_create() if not options else dnn_superres.DnnSuperResImpl(**options)
    sr.readModel(str(path))
    sr.setModel(algo, scale)
    return sr


@pytest.mark.parametrize("algo, scale", [("espcn", 2), ("fsrcnn", 2), ("fsrcnn", 4), ("lapsrn", 4), ("edsr", 3)])
def test_one_output(models, bgr, algo, scale):
    sr = ready(models / f"{algo}_x{scale}.pb", algo, scale)
    assert (sr.getAlgorithm(), sr.getScale()) == (algo, scale)
    result = sr.upsample(bgr)
    assert result.shape == (bgr.shape[0] * scale, bgr.shape[1] * scale, 3) and result.dtype == np.uint8
    assert np.array_equal(result, cvsr.upscale(bgr, scale, model=models / f"{algo}_x{scale}.pb"))


def test_several_outputs(models, bgr):
    sr = ready(models / "lapsrn_x4.pb", "lapsrn", 4)
    scales, names = [2, 4], ["NCHW_output_2x", "NCHW_output_4x"]
    images = sr.upsampleMultioutput(bgr, scales, names)
    assert [image.shape for image in images] == [(82, 114, 3), (164, 228, 3)]
    assert np.array_equal(images[1], sr.upsample(bgr))
    assert not np.array_equal(cv2.resize(images[1], (114, 82), interpolation=cv2.INTER_AREA), images[0])
    outputs: list = []
    again = sr.upsampleMultioutput(bgr, outputs, scales, names)  # with the arguments of OpenCV's binding
    assert all(np.array_equal(a, b) and a is c for a, b, c in zip(again, images, outputs, strict=True))
    backwards = sr.upsampleMultioutput(bgr, scale_factors=scales[::-1], node_names=names[::-1])
    assert [image.shape[0] for image in backwards] == [164, 82]


def test_several_outputs_that_are_not_there(models, bgr):
    sr = ready(models / "lapsrn_x4.pb", "lapsrn", 4)
    with pytest.raises(ModelError, match=r"no output 'NCHW_output_8x': it has NCHW_output.*NCHW_output_2x"):
        sr.upsampleMultioutput(bgr, [8], ["NCHW_output_8x"])
    with pytest.raises(OptionError, match="2 scales and 1 names"):
        sr.upsampleMultioutput(bgr, [2, 4], ["NCHW_output_2x"])
    with pytest.raises(OptionError, match="0 scales"):
        sr.upsampleMultioutput(bgr, [], [])
    with pytest.raises(ModelError, match="shape"):
        sr.upsampleMultioutput(bgr, [3], ["NCHW_output_2x"])


def test_result_is_filled_where_it_fits(models, bgr):
    sr = ready(models / "espcn_x2.pb", "espcn", 2)
    wanted = sr.upsample(bgr)
    result = np.zeros_like(wanted)
    assert sr.upsample(bgr, result) is result and np.array_equal(result, wanted)
    small = np.zeros((3, 3, 3), np.uint8)
    assert np.array_equal(sr.upsample(bgr, result=small), wanted) and not small.any()
    with pytest.raises(ImageError, match="result"):
        sr.upsample(bgr, [])


def test_kinds_of_images(models, bgr):
    sr = ready(models / "fsrcnn_x2.pb", "fsrcnn", 2)
    gray = bgr[:, :, 1]
    assert sr.upsample(gray).shape == (82, 114)
    assert np.array_equal(sr.upsample(gray[:, :, None]), sr.upsample(gray)), "as the original, a plane"
    wide = sr.upsample(bgr.astype(np.uint16) * 257)
    assert wide.dtype == np.uint16 and np.abs(wide / 257 - sr.upsample(bgr)).max() <= 3
    clear = sr.upsample(np.dstack([bgr, np.full(bgr.shape[:2], 255, np.uint8)]))
    assert clear.shape == (82, 114, 4) and np.array_equal(clear[:, :, :3], sr.upsample(bgr))
    for image in (gray, bgr):  # floats go from 0 to 255 there, and become 8 bits
        made = sr.upsample(image.astype(np.float32))
        assert made.dtype == np.uint8 and np.abs(made.astype(int) - sr.upsample(image)).mean() < 1


def test_any_scale(models, bgr):
    sr = ready(models / "fsrcnn_x2.pb", "fsrcnn", 2)
    for scale in (1.5, 3, 4):
        wanted = cvsr.upscale(bgr, scale, model=models / "fsrcnn_x2.pb")
        assert np.array_equal(sr.upsample(bgr, scale=scale), wanted)
        assert sr.upsample(bgr.astype(np.float32), scale=scale).shape == wanted.shape
    assert sr.upsample(bgr).shape == (82, 114, 3), "the others are for one image"
    with pytest.raises(OptionError, match="scale"):
        sr.upsample(bgr, scale=0)


def test_names_in_capitals(models, bgr):
    sr = ready(models / "fsrcnn_x2.pb", "FSRCNN", 2)
    assert sr.upsample(bgr).shape[0] == 82 and sr.getAlgorithm() == "fsrcnn"


def test_a_file_that_says_what_it_is_needs_no_set_model(models, bgr):
    sr = dnn_superres.DnnSuperResImpl(models / "lapsrn_x4.pb")
    assert (sr.getAlgorithm(), sr.getScale()) == ("lapsrn", 4)
    assert sr.upsample(bgr).shape[0] == 164


def test_a_file_that_does_not_say_needs_it(models, bgr):
    sr = dnn_superres.DnnSuperResImpl.create()
    sr.readModel(models / "mine.pb")
    with pytest.raises(ModelError, match=r"mine\.pb does not say what it is: call setModel"):
        sr.upsample(bgr)
    sr.setModel("ESPCN", 3)
    assert np.array_equal(sr.upsample(bgr), cvsr.upscale(bgr, 3, model=models / "espcn_x3.pb"))
    sr.setModel("espcn", 2)
    with pytest.raises(ModelError, match="shape"):
        sr.upsample(bgr)


@pytest.mark.parametrize("algo, scale", [("espcn", 2), ("fsrcnn", 3), ("edsr", 2), ("srgan", 2)])
def test_what_does_not_match_the_file_is_an_error_that_says_what_it_is(models, bgr, algo, scale):
    sr = ready(models / "fsrcnn_x2.pb", algo, scale)
    with pytest.raises(ModelError, match=r"fsrcnn_x2\.pb is fsrcnn_x2, fsrcnn x2, .*use setModel\('fsrcnn', 2\)"):
        sr.upsample(bgr)
    sr.setModel("fsrcnn", 2)
    assert sr.upsample(bgr).shape[0] == 82


def test_set_model_and_read_model_in_any_order(models, bgr):
    sr = ready(models / "fsrcnn_x2.pb", "fsrcnn", 2)
    sr.upsample(bgr)
    sr.setModel("espcn", 3)
    sr.readModel(models / "espcn_x3.pb")
    assert sr.upsample(bgr).shape[0] == 123


def test_onnx_files(models, bgr):
    for algo in ("fsrcnn", "net", "NET"):
        sr = ready(models / "net.onnx", algo, 2)
        assert np.array_equal(sr.upsample(bgr), cvsr.upscale(bgr, 2, model=models / "net.onnx"))
    for algo, scale in (("edsr", 2), ("other", 2), ("fsrcnn", 3)):
        with pytest.raises(ModelError, match="is net, a network for luma x2"):
            ready(models / "net.onnx", algo, scale).upsample(bgr)
    sr = dnn_superres.DnnSuperResImpl(cvsr.open_model(models / "net.onnx", radius=20))
    assert sr.getScale() == 2 and sr.upsample(bgr).shape[0] == 82


def test_options_of_the_upscaler(models, bgr):
    whole, tiled = (
        ready(models / "espcn_x2.pb", "espcn", 2, exact=True, tile=tile, threads=2).upsample(bgr) for tile in (0, 16)
    )
    assert np.array_equal(whole, tiled)
    with pytest.raises(cvsr.MemoryBudgetError):
        ready(models / "espcn_x2.pb", "espcn", 2, max_memory=1000).upsample(bgr)


def test_several_threads_share_one_object(models, bgr):
    sr = ready(models / "fsrcnn_x2.pb", "fsrcnn", 2)
    images = [np.roll(bgr, shift, 0) for shift in range(6)]
    wanted = [ready(models / "fsrcnn_x2.pb", "fsrcnn", 2).upsample(image) for image in images]
    made: dict[int, np.ndarray] = {}
    threads = [threading.Thread(target=lambda i=i: made.update({i: sr.upsample(images[i])})) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(made[i], wanted[i]) for i in range(6))


def test_nothing_read_and_files_that_are_none(models, bgr):
    sr = dnn_superres.DnnSuperResImpl_create()
    assert (sr.getAlgorithm(), sr.getScale()) == ("", 0)
    with pytest.raises(ModelError, match="readModel"):
        sr.upsample(bgr)
    with pytest.raises(ModelNotFoundError):
        sr.readModel(models / "missing.pb")
    with pytest.raises(OptionError, match="one file"):
        sr.readModel(models / "espcn_x2.pb", "espcn.prototxt")


CUDA = (getattr(cv2.dnn, "DNN_BACKEND_CUDA", 5), getattr(cv2.dnn, "DNN_TARGET_CUDA", 6))
no_cuda = pytest.mark.skipif(
    any(status.name == "cuda" and status.available for status in devices.probe()), reason="CUDA is here"
)


@no_cuda
def test_a_missing_device_is_told_once_and_the_cpu_takes_its_place(models, bgr, recwarn, monkeypatch):
    monkeypatch.delenv("CVSR_STRICT", raising=False)
    sr = ready(models / "fsrcnn_x2.pb", "fsrcnn", 2)
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
    sr = ready(models / "fsrcnn_x2.pb", "fsrcnn", 2)
    with pytest.raises(DeviceError, match="OPENCV_DNN_CUDA"):
        sr.setPreferableBackend(CUDA[0])
    with pytest.raises(DeviceError, match="no device"):
        sr.setPreferableTarget(4711)
    sr.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    sr.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)


def test_a_device_that_fails_later_is_told_too(models, bgr, monkeypatch):
    """It is here, and gives wrong results: found out when the network runs for the first time."""
    monkeypatch.delenv("CVSR_STRICT", raising=False)
    upscaler = drop_in.Upscaler

    def failing(*args, device, **options):
        if device != "cpu":
            raise DeviceError("opencl is no use")
        return upscaler(*args, device=device, **options)

    monkeypatch.setattr(drop_in, "Upscaler", failing)
    monkeypatch.setattr(devices, "resolve", lambda name: None)
    sr = ready(models / "fsrcnn_x2.pb", "fsrcnn", 2)
    sr.setPreferableTarget(cv2.dnn.DNN_TARGET_OPENCL)
    with pytest.warns(dnn_superres.DeviceWarning, match="no use"):
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
