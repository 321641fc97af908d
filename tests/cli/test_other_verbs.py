"""Version, help, and the verbs that only print."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from kit.commands import ROOT, child

import cvsr
from cvsr.errors import OpenCVError


class TestOtherVerbs:
    def test_version_and_help_load_neither_opencv_nor_numpy(self):
        for option in ("--version", "--help"):
            script = (
                "import sys, cvsr.cli.verbs\n"
                f"try: cvsr.cli.verbs.main(['{option}'])\n"
                "except SystemExit as stop: assert stop.code == 0\n"
                "assert not {'cv2', 'numpy'} & set(sys.modules)"
            )
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            done = subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment, text=True)
            assert done.returncode == 0, done.stderr
            assert (f"cvsr {cvsr.__version__}" if option == "--version" else "upscale") in done.stdout

    @pytest.fixture
    def zoo_folder(self, monkeypatch):
        Path("zoo").mkdir()
        row = {"family": "cvsr-small", "file": "a.onnx", "sha256": "0", "bytes": 51000, "parameters": 12596}
        rows = [
            row | {"name": f"cvsr-small_x{scale}", "scale": scale, "psnr": {"Set5": psnr}, "use": "photos"}
            for scale, psnr in ((2, 37.21), (3, 33.2))
        ]
        Path("zoo/index.json").write_text(json.dumps({"version": 1, "models": rows}))
        monkeypatch.setenv("CVSR_MODEL_PATH", "zoo")

    def test_models(self, run, zoo_folder):
        code, out, _ = run("models")
        lines = out.splitlines()
        assert code == 0
        assert lines[0].split()[:3] == ["NAME", "SCALES", "SIZE"]
        small = next(line for line in lines if line.startswith("cvsr-small"))
        assert small.endswith("photos")
        assert {"(auto)", "x2,", "13k", "37.21"} <= set(small.split())
        assert any(line.startswith("lanczos ") for line in lines)

    def test_models_as_json(self, run, zoo_folder):
        told = json.loads(run("models", "--json")[1])
        small = next(entry for entry in told["models"] if entry["name"] == "cvsr-small_x3")
        assert (small["scale"], small["default"], small["psnr"]) == (3, True, {"Set5": 33.2})
        assert "bicubic" in told["interpolations"]

    @pytest.mark.parametrize("ok", [True, False])
    def test_doctor(self, run, monkeypatch, ok):
        from cvsr import doctor

        problems = [] if ok else [doctor.Problem("it is broken", "mend it", True)]
        monkeypatch.setattr(doctor, "report", lambda: doctor.Report(doctor.OpenCVCheck(), [], [], problems))
        code, out, _ = run("doctor")
        assert code == (0 if ok else 3) and ("Not ready" in out) is not ok
        assert json.loads(run("doctor", "--json")[1])["ok"] is ok

    def test_eval_is_handed_on(self, run, monkeypatch):
        from cvsr.cli import evaluate

        monkeypatch.setattr(evaluate, "main", lambda args: 7 if args.data == [Path("set")] else 8)
        assert run("eval", "bicubic", "--data", "set")[0] == 7

    def test_errors_of_verbs_become_exit_codes(self, run, monkeypatch):
        from cvsr import doctor

        def broken():
            raise OpenCVError("no cv2")

        monkeypatch.setattr(doctor, "report", broken)
        assert run("doctor") == (3, "", "cvsr: no cv2\n")

    def test_python_dash_m(self):
        assert child("--version").stdout.split() == [b"cvsr", cvsr.__version__.encode()]
