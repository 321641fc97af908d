"""``cvsr upscale``: what fails, how it is reported, and the exit code."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest
from kit.commands import ROOT, child, names, save

from cvsr.batch import enlarge
from cvsr.errors import DeviceError
from cvsr.io import reader


class TestFailures:
    def test_one_bad_file_does_not_stop_the_others(self, run):
        save("in/a.png")
        save("in/z.png")
        Path("in/bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        Path("in/empty.jpg").touch()
        code, _, error = run("upscale", "in", "nix.png")
        assert code == 1
        assert error.splitlines()[-1] == "cvsr: 2 written, 0 skipped, 3 failed"
        assert "failed: in/bad.png cannot be decoded" in error
        assert "failed: in/empty.jpg is empty" in error
        assert "failed: nix.png: there is no such file" in error
        assert names("in") == ["a.png", "a_x2.png", "bad.png", "empty.jpg", "z.png", "z_x2.png"]

    def test_a_bug_is_one_files_failure_too(self, run, monkeypatch):
        save("a.png")
        save("b.png")
        read = reader.read

        def strange(path):
            if Path(path).name == "a.png":
                raise ZeroDivisionError
            return read(path)

        monkeypatch.setattr(reader, "read", strange)
        code, _, error = run("upscale", "a.png", "b.png")
        assert code == 1
        assert "failed: a.png: ZeroDivisionError" in error
        assert "1 written, 0 skipped, 1 failed" in error

    @pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
    def test_inputs_are_never_overwritten(self, run, overwrite):
        before = save("a.png").read_bytes()
        save("a_x2.png")
        code, _, error = run("upscale", "a.png", "-o", "a.png", *overwrite)
        assert code == 1
        assert "would overwrite its own input" in error
        run("upscale", "a.png", "a_x2.png", *overwrite)
        assert Path("a.png").read_bytes() == before

    def test_two_results_of_one_name(self, run):
        save("a.png")
        save("a.jpg")
        code, _, error = run("upscale", "a.jpg", "a.png", "--format", "webp")
        assert code == 1
        assert "failed: a.png: its result would have the same name as the result of a.jpg" in error
        assert "1 written, 0 skipped, 1 failed" in error

    @pytest.mark.parametrize(
        ("argv", "message"),
        [
            ([], "required"),
            (["upscale"], "required"),
            (["nonsense"], "invalid choice"),
            (["upscale", "a.png", "-s", "2", "--size", "3x3"], "not allowed with"),
            (["upscale", "a.png", "--size", "3"], "use WIDTHxHEIGHT, for example 1920x1080"),
            (["upscale", "a.png", "--size", "0x3"], "use WIDTHxHEIGHT, for example 1920x1080"),
            (["upscale", "a.png", "--quality", "0"], "from 1 to 100"),
            (["upscale", "a.png", "-s", "0"], "above 0"),
            (["upscale", "a.png", "-s", "nan"], "above 0"),
            (["upscale", "a.png", "--format", "xyz"], "can write png, tiff"),
            (["upscale", "a.png", "-o", "r.xyz"], "add a / at the end"),
            (["upscale", "a.png", "-o", "r.jpg", "--format", "png"], "contradict"),
            (["upscale", "a.png", "b.png", "-o", "a.png"], "is a file"),
            (["upscale", "a.png", "--max-memory", "much"], "max_memory"),
            (["upscale", "a.png", "--max-memory", "10M"], "OpenCV and the model alone take"),
            (["upscale", "a.png", "-m", "nosuch"], "no model is called 'nosuch'"),
            (["upscale", "a.png", "-d", "nosuch"], "unknown device"),
        ],
    )
    def test_wrong_usage_is_exit_code_2(self, run, argv, message):
        save("a.png")
        code, _, error = run(*argv or ["--nothing"], model=None if "-m" in argv else "nearest")
        assert (code, names()) == (2, ["a.png"])
        assert message in error or not argv

    def test_nothing_to_do(self, run):
        Path("empty").mkdir()
        code, _, error = run("upscale", "empty")
        assert code == 1
        assert "no images found in empty (-r searches deeper)" in error

    def test_a_missing_device_is_exit_code_3(self, run, monkeypatch):
        def missing(*_, **__):
            raise DeviceError("no such device here")

        save("a.png")
        monkeypatch.setattr(enlarge, "Upscaler", missing)
        assert run("upscale", "a.png") == (3, "", "cvsr: no such device here\n")

    def test_a_device_that_dies_ends_the_run(self, run, monkeypatch):
        def dying(*_, **__):
            raise DeviceError("the device is gone")

        for name in ("a.png", "b.png", "c.png"):
            save(name)
        monkeypatch.setattr(enlarge.Enlarger, "enlarge", dying)
        code, _, error = run("upscale", "a.png", "b.png", "c.png")
        assert code == 3
        assert "stopped with 3 to go" in error
        assert "the device is gone" in error

    def test_opencv_that_is_missing_is_exit_code_3(self):
        Path("fake").mkdir()
        Path("fake/cv2.py").write_text("raise ImportError('libGL.so.1')")
        save("a.png")
        done = child("upscale", "a.png", env={"PYTHONPATH": f"fake{os.pathsep}{ROOT}"})
        assert done.returncode == 3
        assert b"pip install opencv-python-headless" in done.stderr
        assert b"Traceback" not in done.stderr

    def test_warnings_and_notes_are_lines_of_their_own(self, run, monkeypatch):
        class Warns(enlarge.Upscaler):
            def __init__(self, *arguments, **keywords):
                super().__init__(*arguments, **keywords)
                warnings.warn("opencl is left out", RuntimeWarning, stacklevel=2)

        monkeypatch.setattr(enlarge, "Upscaler", Warns)
        save("a.png")
        assert run("upscale", "a.png")[2].splitlines()[0] == "cvsr: opencl is left out"
