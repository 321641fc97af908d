"""``cvsr upscale`` with standard input and output."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
from kit.commands import ROOT, child, names, picture, save

from cvsr._cv2 import cv2
from cvsr.io import reader


class TestPipes:
    def test_stdin_to_stdout_keeps_the_format(self):
        image = picture()
        for suffix, magic in ((".png", b"\x89PNG"), (".jpg", b"\xff\xd8"), (".tiff", b"II*\0")):
            done = child("upscale", "-", "-m", "nearest", input=cv2.imencode(suffix, image)[1].tobytes())
            assert (done.returncode, done.stderr) == (0, b"")
            assert done.stdout.startswith(magic)
            assert reader.decode(np.frombuffer(bytearray(done.stdout), np.uint8)).image.shape == (12, 16, 3)

    def test_stdin_to_a_file_and_a_file_to_stdout(self):
        data = save("a.png").read_bytes()
        done = child("upscale", "-", "-o", "r.webp", "-m", "nearest", input=data)
        assert (done.returncode, names()) == (0, ["a.png", "r.webp"])
        done = child("upscale", "a.png", "-o", "-", "--format", "jpg", "-m", "nearest")
        assert done.stdout.startswith(b"\xff\xd8")

    def test_nothing_is_written_of_a_bad_image(self):
        done = child("upscale", "-", "-m", "nearest", input=b"no image")
        assert (done.returncode, done.stdout) == (1, b"")
        assert b"failed: stdin cannot be decoded" in done.stderr

    def test_a_reader_that_left(self):
        data = save("a.png", picture(300, 300)).read_bytes()
        command = f"{sys.executable} -m cvsr upscale - -m nearest | head -c 10"
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, shell=True, input=data, capture_output=True, env=environment, timeout=600)
        assert b"Traceback" not in done.stderr

    def test_a_dash_stands_for_one_image_only(self, run):
        save("a.png")
        assert "- stands for one image" in run("upscale", "-", "a.png")[2]
        assert "- stands for one image" in run("upscale", "a.png", "a.png", "-o", "-")[2]
        code, _, error = run("upscale", "-", "-o", "folder/")
        assert code == 2
        assert "has no name" in error

    def test_no_image_goes_to_a_terminal(self, run, monkeypatch):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        save("a.png")
        code, _, error = run("upscale", "a.png", "-o", "-")
        assert code == 2
        assert "would go to the terminal" in error
