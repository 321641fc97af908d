"""OpenCV's own dnn_superres as an engine, which harms no other network of the process, and cvsr beside foreign ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kit import graphdeflite, onnxlite, shuffles

import cvsr
from cvsr._cv2 import cv2
from cvsr.errors import DeviceError, ImageError, ModelError, OpenCVError, OptionError
from cvsr.opencv import layer_registry

CHILD = Path(__file__).parents[1] / "kit" / "dnn_superres_child.py"
CONTRIB = hasattr(getattr(cv2, "dnn_superres", None), "DnnSuperResImpl_create")
contrib = pytest.mark.skipif(not CONTRIB, reason="this OpenCV has no dnn_superres")


@pytest.fixture
def models(tmp_path):
    files = {"fsrcnn_x2.pb": graphdeflite.FAMILIES["fsrcnn_x2"], "edsr_x2.pb": graphdeflite.FAMILIES["edsr_x2"]}
    files |= {"net.onnx": onnxlite.conv_chain(4, 1), **shuffles.NETWORKS}
    files["frozen/fsrcnn_eight_x2.pb"] = shuffles.frozen()
    (tmp_path / "frozen").mkdir()
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def child(job: str, *arguments: object) -> dict:
    paths = os.pathsep.join([str(Path(cvsr.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(CHILD), job, *map(str, arguments)], env={**os.environ, "PYTHONPATH": paths},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@contrib
def test_networks_with_a_shuffle_compute_the_same_after_the_engine(models):
    assert child("shuffles", models) == {"engine": [True] * 3, "again": True, "shadowed": False}


@contrib
def test_own_networks_are_right_beside_a_foreign_original(models):
    found = child("guard", models)
    if layer_registry.VERSION < (4, 11, 0):
        assert found == {"shadowed": False, "imported": True}
        return
    told, doctor = found.pop("warnings"), found.pop("doctor")
    assert all(found.values()), found
    assert len(told) == 1 and "engine='superres'" in told[0]
    assert len(doctor) == 1 and "DnnSuperResImpl" in doctor[0]


@contrib
def test_the_engine_gives_the_original_s_pictures(models, photo, tmp_path):
    bgr = photo("astronaut")[40:81, 180:237]
    np.save(tmp_path / "image.npy", bgr)
    child("pictures", tmp_path / "image.npy", tmp_path / "made.npz", models / "fsrcnn_x2.pb", models / "edsr_x2.pb")
    made = np.load(tmp_path / "made.npz")
    for name in ("fsrcnn_x2", "edsr_x2"):
        assert np.array_equal(made[f"engine/{name}/bgr"], made[f"original/{name}/bgr"])
    for key in made.files:
        if key.startswith("original/"):
            difference = np.abs(made[key].astype(int) - made[key.replace("original", "cvsr", 1)])
            assert difference.max() <= 1, key


@contrib
def test_images_and_steps_of_the_engine(models, photo):
    bgr = photo("astronaut")[40:81, 180:237]
    upscaler = cvsr.Upscaler(models / "fsrcnn_x2.pb", 2, engine="SuperRes")
    seen = []
    result = upscaler(bgr, progress=lambda progress: seen.append((progress.done, progress.total)))
    assert result.shape == (82, 114, 3) and seen == [(1, 1)]
    assert upscaler(np.dstack([bgr, bgr[:, :, 0]])).shape == (82, 114, 4)
    assert (upscaler.ran_on.engine, upscaler.ran_on.device) == ("superres", "cpu")
    assert cvsr.Upscaler(models / "fsrcnn_x2.pb", 3, engine="superres")(bgr).shape == (123, 171, 3)
    for image in (bgr.astype(np.uint16), bgr / np.float32(255)):
        with pytest.raises(ImageError, match="8 bits only"):
            upscaler(image)
    with pytest.raises(ImageError, match="refuses"):
        cvsr.Upscaler(models / "edsr_x2.pb", 2, engine="superres")(bgr[:, :, 0])
    assert not layer_registry.shadowed()


@contrib
def test_what_the_engine_cannot_do_is_said(models):
    with pytest.raises(ModelError, match=r"\.pb"):
        cvsr.Upscaler(models / "net.onnx", 2, engine="superres")
    with pytest.raises(DeviceError, match="does not report where it runs"):
        cvsr.Upscaler(models / "fsrcnn_x2.pb", 2, engine="superres", device="cuda")
    half = (models / "fsrcnn_x2.pb").read_bytes().replace(b"\x12\x04Relu", b"\x12\x04Rely")
    (models / "fsrcnn_bad_x2.pb").write_bytes(half)
    with pytest.raises(ModelError, match=r"cannot run .*fsrcnn_bad_x2\.pb"):
        cvsr.Upscaler(models / "fsrcnn_bad_x2.pb", 2, engine="superres")


def test_engines_and_options_that_do_not_go_together(models):
    with pytest.raises(OptionError, match="unknown engine 'new'"):
        cvsr.Upscaler(models / "fsrcnn_x2.pb", 2, engine="new")
    for options in ({"tile": 32}, {"max_memory": "1G"}):
        with pytest.raises(OptionError, match="whole image"):
            cvsr.Upscaler(models / "fsrcnn_x2.pb", 2, engine="superres", **options)
    with pytest.raises(OptionError, match="interpolation"):
        cvsr.Upscaler("bicubic", 2, engine="superres")


def test_without_dnn_superres_the_remedy_is_named(models, monkeypatch):
    monkeypatch.delattr(cv2, "dnn_superres", raising=False)
    with pytest.raises(OpenCVError, match=r"opencv-contrib-python.*Omit engine"):
        cvsr.Upscaler(models / "fsrcnn_x2.pb", 2, engine="superres")
