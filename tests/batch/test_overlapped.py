"""Several files of a folder: two at a time, each as if it were alone."""

from __future__ import annotations

import logging
import threading
import time

import numpy as np
import pytest
from kit.processes import PATIENCE

from cvsr._cv2 import cv2
from cvsr.batch import overlapped
from cvsr.batch.enlarge import Enlarger
from cvsr.cli.verbs import main
from cvsr.errors import DeviceError
from cvsr.io import reader


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(5):
        cv2.imwrite(str(folder / f"{i}.png"), np.random.default_rng(i).integers(0, 256, (20 + i, 30, 3), np.uint8))
    return folder


@pytest.fixture
def at_work(monkeypatch, wait):
    """How many files are at work when one begins."""
    seen, now, lock, enlarge, second = [], [0], threading.Lock(), Enlarger.enlarge, threading.Event()

    def counted(self, *args, **keywords):
        with lock:
            now[0] += 1
            seen.append(now[0])
        if now[0] > 1:
            second.set()
        elif len(seen) == 1:
            second.wait(wait)  # for company
        try:
            return enlarge(self, *args, **keywords)
        finally:
            now[0] -= 1

    monkeypatch.setattr(Enlarger, "enlarge", counted)
    return seen


def run(images, *more):
    return main(["upscale", str(images), "-o", f"{images.parent / 'out'}/", "-m", "nearest", *more])


@pytest.mark.parametrize("wait", [PATIENCE])
def test_two_at_a_time_and_all_of_them(images, at_work, capsys):
    (images / "broken.png").write_bytes(b"not a picture")
    assert run(images) == 1
    assert max(at_work) == 2 and len(at_work) == 6
    error = capsys.readouterr().err
    assert "5 written, 0 skipped, 1 failed" in error and error.count("broken.png") == 1
    for path in images.glob("?.png"):
        made = reader.read(images.parent / "out" / f"{path.stem}_x2.png").image
        assert np.array_equal(made, reader.read(path).image.repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize("wait", [0.3])
@pytest.mark.parametrize("why", ["budget", "large"])
def test_one_at_a_time_where_two_may_not_fit(why, images, at_work, monkeypatch):
    monkeypatch.setattr(overlapped, "LARGEST", 100 if why == "large" else 1 << 24)
    assert run(images, *(["--max-memory", "2G"] if why == "budget" else [])) == 0
    assert max(at_work) == 1 and len(at_work) == 5


def test_an_error_that_concerns_every_file_stops_the_run(images, monkeypatch, capsys):
    begun = []

    def broken(self, job, **keywords):
        begun.append(job)
        time.sleep(0.05)
        raise DeviceError("it is gone")

    monkeypatch.setattr(Enlarger, "enlarge", broken)
    assert run(images) == 3
    error = capsys.readouterr().err
    assert len(begun) <= 3 and "it is gone" in error and "stopped with 5 to go" in error


def test_remarks_are_on_the_file_that_they_are_about(images, monkeypatch, capsys):
    enlarge = Enlarger.enlarge

    def remarking(self, job, **keywords):
        time.sleep(0.02)  # the next one has begun
        logging.getLogger("cvsr").warning("about %s", job.source.name)
        return enlarge(self, job, **keywords)

    monkeypatch.setattr(Enlarger, "enlarge", remarking)
    assert run(images) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "about" in line]
    assert sorted(lines) == [f"cvsr: {i + 1}/5 {i}.png: about {i}.png" for i in range(5)]
