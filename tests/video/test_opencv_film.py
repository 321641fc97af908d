"""``cvsr video`` without PyAV: OpenCV writes the pictures, and says what is lost."""

from __future__ import annotations

import io

import numpy as np
import pytest

from cvsr._cv2 import cv2
from cvsr.cli import bar as progress
from cvsr.cli import verbs
from cvsr.inference.stages import Progress
from cvsr.video import pyav


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A film of 30 frames that grow brighter, in an environment without PyAV."""
    monkeypatch.setattr(pyav, "find", lambda: None)
    path = tmp_path / "in.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no films")
    for number in range(30):
        writer.write(np.full((48, 64, 3), 8 * number, np.uint8))
    writer.release()
    return path


def brightness(path) -> list[int]:
    capture = cv2.VideoCapture(str(path))
    found = []
    while (read := capture.read())[0]:
        assert read[1].shape == (96, 128, 3)
        found.append(round(float(read[1].mean()) / 8))
    return found


def test_the_pictures_are_written_and_the_losses_said(tmp_path, source, capsys):
    target = tmp_path / "out.avi"
    assert verbs.main(["video", str(source), str(target), "-m", "bilinear"]) == 0
    assert brightness(target) == list(range(30))
    said = capsys.readouterr().err
    assert "PyAV is missing" in said and "sound" in said and 'pip install ".[video]"' in said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.avi", "out.avi"]


def test_start_and_end(tmp_path, source):
    target = tmp_path / "out.avi"
    argv = ["video", str(source), str(target), "-m", "bilinear", "--start", "1", "--end", "1.5"]
    assert verbs.main(argv) == 0
    assert brightness(target) == [10, 11, 12, 13, 14]


@pytest.mark.parametrize("more", [["--codec", "h264"], ["--crf", "20"], ["--resume"], ["--preview"]])
def test_what_needs_pyav_says_what_to_type(tmp_path, source, capsys, more):
    assert verbs.main(["video", str(source), str(tmp_path / "out.avi"), "-m", "bilinear", *more]) == 2
    assert 'pip install ".[video]"' in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["in.avi"]


def test_files_that_are_no_films(tmp_path, source, capsys):
    (tmp_path / "text.avi").write_text("no film")
    for name, target in (("text.avi", "out.avi"), ("missing.avi", "out.avi"), ("in.avi", "nowhere/out.avi")):
        assert verbs.main(["video", str(tmp_path / name), str(tmp_path / target), "-m", "bilinear"]) == 1
    assert verbs.main(["video", str(source), str(tmp_path / "out.xyz"), "-m", "bilinear"]) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.avi", "text.avi"]


def test_a_stop_leaves_the_frames_so_far(tmp_path, source, monkeypatch, capsys):
    from cvsr.cli import video

    def make(upscaler):
        seen = []

        def one(image):
            seen.append(image)
            if len(seen) > 12:
                raise KeyboardInterrupt
            return upscaler(image)

        return one

    monkeypatch.setattr(video, "enlarger", make)
    target = tmp_path / "out.avi"
    assert verbs.main(["video", str(source), str(target), "-m", "bilinear"]) == 130
    assert brightness(target) == list(range(12))
    assert "has the first 12 frames" in capsys.readouterr().err


class TestBar:
    """What the progress bar shows for frames."""

    @pytest.fixture
    def terminal(self, monkeypatch):
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "100")
        return Terminal()

    def test_frames_a_second_and_the_time_left(self, terminal):
        clock = [0.0]
        bar = progress.Bar(terminal, clock=lambda: clock[0])
        bar.start("film.mp4", "frames")
        clock[0] = 10
        bar.progress(Progress(50, 200))
        assert terminal.getvalue().endswith(" 25% 5.0 frames/s 0:30 left\x1b[K")

    def test_what_an_earlier_run_did_says_nothing_about_the_speed(self, terminal):
        clock = [0.0]
        bar = progress.Bar(terminal, clock=lambda: clock[0])
        bar.start("film.mp4", "frames", done=100)
        clock[0] = 10
        bar.progress(Progress(150, 200))
        assert terminal.getvalue().endswith(" 75% 5.0 frames/s 0:10 left\x1b[K")
        clock[0] = 30
        bar.progress(Progress(250, 200))  # there were more than the file said
        assert "100%" in terminal.getvalue().rpartition("\r")[2]
