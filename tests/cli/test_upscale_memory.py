"""``cvsr upscale --max-memory``: the whole process stays within it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kit import onnxlite
from kit.commands import ROOT, picture, save

import cvsr
from cvsr import machine
from cvsr._cv2 import cv2
from cvsr.batch import enlarge, memory
from cvsr.io import reader


class TestMemory:
    @pytest.fixture
    def model(self) -> str:
        Path("tiny.onnx").write_bytes(onnxlite.conv_chain(4, 1, 2))
        return "tiny.onnx"

    @pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell a process's peak")
    def test_the_whole_process_stays_within_the_budget(self, model):
        save("a.png", cv2.resize(picture(40, 60), (2400, 1600)))
        script = (
            "import sys; from cvsr import cli, machine; code = cli.main(sys.argv[1:]);"
            "print(machine.peak()); sys.exit(code)"
        )
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        limit = 170 << 20  # with the result as a whole, 46 MB, OpenCV 4.14 would hold more
        for suffix, expected in ((".png", 0), (".webp", 1)):
            command = [sys.executable, "-c", script, "upscale", "a.png", "-o", "r" + suffix, "-m", model]
            done = subprocess.run([*command, "--max-memory", "170M"], capture_output=True, env=environment, text=True)
            assert done.returncode == expected, done.stderr
            if expected == 0:
                assert int(done.stdout) <= limit
                assert reader.read("r" + suffix).image.shape == (3200, 4800, 3)
            else:
                assert "max_memory is 170 MB: raise it, or write png or tiff" in done.stderr

    def test_streaming_does_not_change_the_result(self, run, model):
        save("a.png", picture(200, 150))
        run("upscale", "a.png", "-o", "r.png", model=model)
        expected = cvsr.Upscaler(model, 2)(picture(200, 150))
        np.testing.assert_array_equal(reader.read("r.png").image, expected)

    def test_an_image_that_was_too_large_to_read_is_said(self, run, monkeypatch):
        save("a.png")
        monkeypatch.setattr(enlarge, "peak", lambda: 1 << 20)  # before
        monkeypatch.setattr(memory, "peak", lambda: 3 << 40)  # after
        code, _, error = run("upscale", "a.png", "--max-memory", "2T")
        assert code == 1
        assert "failed: a.png: reading it took 3145728 MB and max_memory is 2097152 MB" in error

    def test_what_a_process_holds_is_known(self):
        assert 10 << 20 < machine.resident() <= max(machine.peak(), machine.resident())
