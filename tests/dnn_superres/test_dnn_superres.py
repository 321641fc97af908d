"""The drop-in for cv2.dnn_superres: the methods of the original, files, devices, several outputs, threads."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import cvsr
from cvsr import dnn_superres
from cvsr._cv2 import cv2
from cvsr.errors import ImageError, ModelError, ModelNotFoundError, OptionError


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
    with pytest.raises(OptionError, match="2 scales and 1 output names"):
        sr.upsampleMultioutput(bgr, [2, 4], ["NCHW_output_2x"])
    with pytest.raises(OptionError, match="0 scales"):
        sr.upsampleMultioutput(bgr, [], [])
    with pytest.raises(ModelError, match="shape"):
        sr.upsampleMultioutput(bgr, [3], ["NCHW_output_2x"])


def test_a_result_array_that_fits_is_filled(models, bgr):
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


def test_errors_without_a_model_and_for_files_that_cannot_be_read(models, bgr):
    sr = dnn_superres.DnnSuperResImpl_create()
    assert (sr.getAlgorithm(), sr.getScale()) == ("", 0)
    with pytest.raises(ModelError, match="readModel"):
        sr.upsample(bgr)
    with pytest.raises(ModelNotFoundError):
        sr.readModel(models / "missing.pb")
    with pytest.raises(OptionError, match="one file"):
        sr.readModel(models / "espcn_x2.pb", "espcn.prototxt")
