"""``cvsr frames``: raw frames through pipes, whatever pieces they come in; and cvsr.video.frames with OpenCV alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from kit.processes import PATIENCE, wait_until_idle

import cvsr
from cvsr import video
from cvsr._cv2 import cv2
from cvsr.errors import FileError
from cvsr.video import pyav

WIDTH, HEIGHT, COUNT = 40, 30, 7
COMMAND = [sys.executable, "-m", "cvsr", "frames", "-m", "bilinear"]


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (COUNT, HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.fixture
def large(images) -> list[np.ndarray]:
    upscaler = cvsr.Upscaler("bilinear", 2)
    return [upscaler(image) for image in images]


def run(data: bytes, *more: str, size: tuple[int, int] = (WIDTH, HEIGHT)) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *map(str, size), *more], input=data, capture_output=True, check=False)


def test_frames_go_in_and_come_out_larger(images, large):
    done = run(images.tobytes())
    assert done.returncode == 0
    assert done.stdout == np.stack(large).tobytes()
    assert b"80x60" in done.stderr


def test_another_scale(images):
    done = run(images.tobytes(), "-s", "1.5")
    assert len(done.stdout) == COUNT * 60 * 45 * 3


def test_short_reads(images, large):
    process = subprocess.Popen([*COMMAND, str(WIDTH), str(HEIGHT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    data = images.tobytes()
    for start in range(0, len(data), 997):
        process.stdin.write(data[start : start + 997])
        process.stdin.flush()
    process.stdin.close()
    assert process.stdout.read() == np.stack(large).tobytes()
    assert process.wait(30) == 0


def test_a_frame_comes_out_before_all_have_gone_in(images, large):
    process = subprocess.Popen([*COMMAND, str(WIDTH), str(HEIGHT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdin.write(images[0].tobytes())
    process.stdin.flush()
    assert process.stdout.read(large[0].nbytes) == large[0].tobytes()
    process.stdin.close()
    assert process.wait(30) == 0


def test_a_truncated_last_frame_is_said_and_the_others_are_written(images, large):
    done = run(images.tobytes()[:-100])
    assert done.returncode == 1
    assert done.stdout == np.stack(large[:-1]).tobytes()
    assert b"frame 7, 100 bytes short" in done.stderr


def test_no_frames_at_all():
    done = run(b"")
    assert done.returncode == 1
    assert b"no frames" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_a_reader_that_leaves():
    process = subprocess.Popen(
        [*COMMAND, "400", "300"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    frame = bytes(400 * 300 * 3)
    process.stdin.write(frame)
    process.stdin.flush()
    process.stdout.read(1)
    process.stdout.close()
    with pytest.raises(BrokenPipeError):
        for _ in range(200):
            process.stdin.write(frame)
    assert process.wait(PATIENCE) == 1
    assert b"Traceback" not in process.stderr.read()


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_stopped_while_waiting_for_input():
    def before_exec():
        signal.signal(signal.SIGINT, signal.default_int_handler)

    process = subprocess.Popen(
        [*COMMAND, "40", "30"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=before_exec,
    )  # fmt: skip
    process.stdin.write(bytes(3600))
    process.stdin.flush()
    process.stdout.read(100)
    wait_until_idle(process)
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130
    said = process.stderr.read()
    assert b"Traceback" not in said and b"Fatal" not in said


@pytest.mark.parametrize("size", [("0", "30"), ("-4", "30"), ("four", "30")])
def test_invalid_sizes_are_refused(size):
    assert run(b"", size=size).returncode == 2


class TestFramesForScripts:
    def test_lists_and_generators(self, images, large):
        upscaler = cvsr.Upscaler("bilinear", 2)
        for source in (list(images), (image for image in images)):
            assert all(np.array_equal(a, b) for a, b in zip(video.frames(source, upscaler), large, strict=True))

    def test_files_and_captures_without_pyav(self, tmp_path, images, monkeypatch):
        path = str(tmp_path / "in.avi")
        writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 25, (WIDTH, HEIGHT))
        if not writer.isOpened():
            pytest.skip("this OpenCV writes no films")
        for image in images:
            writer.write(image)
        writer.release()
        monkeypatch.setattr(pyav, "find", lambda: None)
        upscaler = cvsr.Upscaler("bilinear", 2)
        capture = cv2.VideoCapture(path)
        for source in (path, capture):
            found = list(video.frames(source, upscaler))
            assert [frame.shape for frame in found] == [(2 * HEIGHT, 2 * WIDTH, 3)] * COUNT
        assert capture.isOpened()  # the caller's

    def test_cameras_and_files_that_are_not_there(self, tmp_path, monkeypatch):
        monkeypatch.setattr(pyav, "find", lambda: None)
        upscaler = cvsr.Upscaler("bilinear", 2)
        with pytest.raises(FileError, match="camera 97"):
            next(video.frames(97, upscaler))
        with pytest.raises(FileError, match="no such file"):
            next(video.frames(tmp_path / "missing.mp4", upscaler))

    def test_one_that_is_left_early(self, images):
        frames = video.frames(iter(images), cvsr.Upscaler("bilinear", 2))
        next(frames)
        frames.close()


def test_the_package_loads_no_pyav():
    code = "import sys, cvsr.video, cvsr.cli.frames, cvsr.cli.video; sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
