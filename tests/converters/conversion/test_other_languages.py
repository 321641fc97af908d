"""The examples in C++ and JavaScript make the runtime's picture of a standalone file."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the converter needs onnx")
pytest.importorskip("onnxruntime", reason="the ONNX source needs onnxruntime")

import cvsr
from cvsr._cv2 import cv2
from cvsr_converters import convert

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def standalone(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("standalone") / "x2.onnx"
    convert(ROOT / "models" / "cvsr-small" / "cvsr-small_x2.onnx", path, to="standalone")
    return path


def run(*command: object, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], cwd=folder, capture_output=True, text=True, timeout=600, check=False)


def need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program} here")


def compare(image: np.ndarray, path: Path) -> None:
    made, wanted = cv2.imread(str(path)), cvsr.upscale(image, 2, model="cvsr-small")
    assert made.shape == wanted.shape
    assert np.abs(made.astype(int) - wanted).max() <= 1


def test_cpp(standalone, photo, tmp_path):
    need("cmake", "c++")
    made = run("cmake", "-S", EXAMPLES / "cpp", "-B", tmp_path / "build", folder=tmp_path)
    if made.returncode and "OpenCVConfig.cmake" in made.stderr:
        pytest.skip("there is no OpenCV for C++ here (Debian, Ubuntu: apt install libopencv-dev)")
    assert made.returncode == 0, made.stderr
    built = run("cmake", "--build", tmp_path / "build", folder=tmp_path)
    assert built.returncode == 0, built.stdout + built.stderr
    image = photo("astronaut")[:75, 200:301]
    cv2.imwrite(str(tmp_path / "image.png"), image)
    done = run(tmp_path / "build" / "upscale", standalone, "image.png", "large.png", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    compare(image, tmp_path / "large.png")
    broken = run(tmp_path / "build" / "upscale", "missing.onnx", "image.png", "large.png", folder=tmp_path)
    assert broken.returncode == 1 and "missing.onnx" in broken.stderr


def test_javascript(standalone, photo, tmp_path):
    need("node", "npm")
    for name in ("package.json", "upscale.mjs"):
        shutil.copy(EXAMPLES / "js" / name, tmp_path)
    installed = run("npm", "install", "--no-audit", "--no-fund", folder=tmp_path)
    if installed.returncode:
        pytest.skip(f"npm cannot install OpenCV.js here: {installed.stderr.strip().splitlines()[-1]}")
    image = photo("astronaut")[:75, 200:301]
    cv2.imwrite(str(tmp_path / "image.ppm"), image)
    done = run("node", "upscale.mjs", standalone, "image.ppm", "large.ppm", folder=tmp_path)
    if "built without dnn" in done.stderr:
        pytest.skip("this OpenCV.js is built without dnn")
    assert done.returncode == 0, done.stderr
    compare(image, tmp_path / "large.ppm")
