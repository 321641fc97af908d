from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from kit import onnxlite

from cvsr import doctor
from cvsr.opencv import check, child, devices, wheels
from cvsr.opencv.check import Build, DeviceCheck, ModelCheck, OpenCVCheck
from cvsr.opencv.wheels import Wheel

WHEEL = Wheel("opencv-python", "4.14.0.94", "site/cv2")
CONTRIB = Wheel("opencv-contrib-python", "4.14.0.94", "site/cv2")
HEADLESS = Wheel("opencv-python-headless", "5.0.0.93", "site/cv2")
SEEN = OpenCVCheck(Build("OpenCV", "4.14.0", "site/cv2", True, True, True, "yes", {"classic": 0}, ""))


@pytest.fixture
def zoo_folder(tmp_path, monkeypatch):
    """A folder of one tiny model that takes the place of the bundled ones."""
    data = onnxlite.conv_chain(name="cvsr-small_x2")
    (tmp_path / "tiny.onnx").write_bytes(data)
    row = {"name": "cvsr-small_x2", "family": "cvsr-small", "scale": 2, "file": "tiny.onnx", "bytes": len(data)}
    row["sha256"] = hashlib.sha256(data).hexdigest()
    (tmp_path / "index.json").write_text(json.dumps({"version": 1, "models": [row]}), encoding="utf-8")
    monkeypatch.setenv("CVSR_MODEL_PATH", str(tmp_path))
    return tmp_path


@pytest.fixture
def fake_cv2(tmp_path, monkeypatch):
    """Put a module named cv2 in front of the real one, for child processes."""

    def install(source: str) -> None:
        folder = tmp_path / "front"
        folder.mkdir()
        (folder / "cv2.py").write_text(source, encoding="utf-8")
        monkeypatch.syspath_prepend(str(folder))

    return install


def serious(report: doctor.Report) -> list[str]:
    return [problem.what for problem in report.problems if problem.serious]


def seen(**facts) -> OpenCVCheck:
    return replace(SEEN, build=replace(SEEN.build, **facts))


def test_report_of_this_environment(zoo_folder):
    found = doctor.report()
    report = found.to_json()
    assert report["ok"], report["problems"]
    assert json.loads(json.dumps(report)) == report
    assert report["opencv"]["version"] == devices.cv2.__version__
    assert report["opencv"]["dnn"] is True
    assert [device["name"] for device in report["devices"]] == list(devices.NAMES[1:])
    assert next(m for m in report["models"] if m["name"] == "cvsr-small_x2")["ok"]
    cpu = next(run for run in report["golden"] if run["device"] == "cpu")
    assert cpu["milliseconds"] > 0 and 0 < cpu["difference"] < 0.06 and "cpu on OpenCV" in cpu["ran_on"]
    text = str(found)
    assert "Ready to upscale." in text and "checksum OK" in text and "from bicubic" in text


def test_a_damaged_model_is_a_serious_problem(zoo_folder):
    path = zoo_folder / "tiny.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    report = doctor.report()
    assert not report.ok
    assert any("does not match the index" in what for what in serious(report))
    assert "Not ready to upscale" in str(report)


def test_a_broken_index_does_not_hide_what_opencv_said(zoo_folder):
    (zoo_folder / "index.json").write_text("{", encoding="utf-8")
    report = doctor.report()
    assert report.opencv.build and report.opencv.devices
    assert "ModelError" in report.to_json()["opencv"]["models_error"]
    assert any("No bundled model: ModelError" in what for what in serious(report))
    assert report.to_json()["golden"][0] == {"device": "cpu", "skipped": True, "error": "no bundled model"}


def test_opencv_that_cannot_be_imported(fake_cv2):
    fake_cv2("raise ImportError('libGL.so.1: cannot open shared object file')")
    report = doctor.report()
    assert not report.ok
    assert "libGL.so.1" in serious(report)[0]
    remedy = report.problems[0].remedy
    assert "pip install" in remedy and "headless" in remedy
    assert "libGL.so.1" in str(report) and list(report.to_json()["opencv"]) == ["error"]


@pytest.mark.skipif(os.name != "posix", reason="signals have names on POSIX")
def test_opencv_that_crashes_on_import(fake_cv2):
    fake_cv2("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    report = doctor.report()
    assert not report.ok
    assert "killed by SIGSEGV" in serious(report)[0]


def test_a_child_that_hangs_is_given_up(fake_cv2, monkeypatch):
    fake_cv2("import time; time.sleep(60)")
    monkeypatch.setattr(child, "TIMEOUT", 0.5)
    assert child.run("cvsr.opencv.check:look") == {"error": "no answer within 0.5 seconds"}


def test_a_child_that_exits(fake_cv2):
    fake_cv2("import os, sys; sys.stderr.write('driver says no\\n'); sys.stderr.flush(); os._exit(7)")
    assert child.run("cvsr.opencv.check:look") == {"error": "exit code 7: driver says no"}


def test_importing_the_doctor_loads_no_cv2():
    code = f"import sys; sys.path[:] = {sys.path!r}; import cvsr.doctor; sys.exit('cv2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_doctor_creates_no_dnn_superres():
    for module in (doctor, check):
        assert "DnnSuperResImpl_create(" not in Path(module.__file__).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("owners", "line"),
    [
        (
            [CONTRIB, WHEEL],
            "pip uninstall -y opencv-contrib-python opencv-python "
            '&& pip install --no-cache-dir "opencv-contrib-python<5"',
        ),
        (
            [HEADLESS, WHEEL],
            "pip uninstall -y opencv-python-headless opencv-python && pip install --no-cache-dir opencv-python",
        ),
        (
            [HEADLESS],
            "pip uninstall -y opencv-python-headless && pip install --no-cache-dir opencv-python-headless",
        ),
    ],
)
def test_repair_line_keeps_what_the_wheels_did(owners, line):
    assert wheels.repair_line(owners) == line


def test_wheels_over_each_other_are_told_with_the_repair_line():
    (problem,) = doctor._opencv_problems(SEEN, [CONTRIB, WHEEL])
    assert "opencv-contrib-python, opencv-python are installed together" in problem.what
    assert problem.remedy.startswith("pip uninstall -y opencv-contrib-python opencv-python &&")
    assert not problem.serious, "this OpenCV works all the same"
    assert doctor._opencv_problems(SEEN, [CONTRIB, replace(WHEEL, folder="elsewhere/cv2")]) == []


def test_an_overwritten_contrib_wheel():
    (problem,) = doctor._opencv_problems(seen(dnn_superres="broken"), [WHEEL])
    assert "lacks DnnSuperResImpl_create" in problem.what
    assert '"opencv-contrib-python<5"' in problem.remedy


def test_a_forced_engine_is_told():
    (problem,) = doctor._opencv_problems(seen(forced_engine="OPENCV_FORCE_DNN_ENGINE=2 forces ENGINE_NEW"), [])
    assert problem.remedy == "Unset OPENCV_FORCE_DNN_ENGINE"


def test_a_crash_on_the_cpu_is_serious_and_one_on_a_device_is_not(monkeypatch):
    statuses = [DeviceCheck(name, True) for name in ("cpu", "cuda")]
    models = [ModelCheck("cvsr-small_x2", 2, "x.onnx")]
    crash = "the child process was killed by SIGSEGV"
    monkeypatch.setattr(child, "run", lambda job, device, path: {"error": crash} if device == "cuda" else {})
    (problem,) = doctor._forward_problems(doctor._test_forwards(statuses, models))
    assert "on cuda failed: the child process was killed" in problem.what and not problem.serious
    monkeypatch.setattr(child, "run", lambda job, device, path: {"error": crash} if device == "cpu" else {})
    (problem,) = doctor._forward_problems(doctor._test_forwards(statuses, models))
    assert problem.serious
