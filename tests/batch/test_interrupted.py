"""Killed, interrupted or out of disk at any moment: no half-written result, and the same command finishes the rest."""

from __future__ import annotations

import itertools
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kit.processes import PATIENCE, halt, resume, wait_until_idle

import cvsr
from cvsr._cv2 import cv2
from cvsr.io import reader

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and limits of POSIX")

ROOT = Path(cvsr.__file__).parent.parent
IMAGES, HEIGHT, WIDTH = 6, 300, 400


@pytest.fixture
def folder(tmp_path) -> Path:
    """Images of noise, whose results take a while to compress; their names tell their content."""
    here = tmp_path / "in"
    here.mkdir()
    for number in range(IMAGES):
        cv2.imencode(".png", content(number))[1].tofile(here / f"{number}.png")
    return here


def content(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def start(*argv: str | Path, limit: int | None = None, scale: int = 4, **keywords) -> subprocess.Popen:
    def before_exec():
        # a shell that starts tests in the background would have its children ignore Ctrl-C
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if limit:
            import resource

            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = [sys.executable, "-m", "cvsr", "upscale", *map(str, argv), "-m", "nearest", "-s", str(scale)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=before_exec, **keywords
    )


def results(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.endswith("_x4.png"))


def check_whole(folder: Path) -> None:
    """Every file under a final name is a whole and right result."""
    for path in results(folder):
        expected = content(int(path.name[0])).repeat(4, 0).repeat(4, 1)
        np.testing.assert_array_equal(reader.read(path).image, expected, err_msg=str(path))


def temporaries(folder: Path) -> list[Path]:
    return list(folder.glob(".cvsr-*"))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", [0, 2])
def test_stopped_at_random_moments(folder, how, moment):
    """Stopped while writing the first, some or a late file, a random while after its temporary file came up."""
    dice, count = random.Random(moment), itertools.count()
    process = start(folder)
    halt(process, lambda: temporaries(folder) and len(results(folder)) >= moment)
    looks = dice.randrange(20)
    resume(process)
    halt(process, lambda: next(count) >= looks or len(results(folder)) >= IMAGES - 2)  # two are at work
    process.send_signal(how)
    resume(process)
    error = process.communicate(timeout=PATIENCE)[1]
    check_whole(folder)
    written = len(results(folder))
    if how == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 128 + how
        assert temporaries(folder) == []
        said = re.search(r"cvsr: (\d) written, 0 skipped, 0 failed, stopped with (\d) to go", error)
        assert said is not None
        assert int(said[1]) + int(said[2]) == IMAGES
        # a signal just behind a rename comes before the count; two files are at work at a time
        assert written - int(said[1]) in (0, 1, 2)
        assert "Traceback" not in error

    again = start(folder)
    error = again.communicate(timeout=PATIENCE)[1]
    assert again.returncode == 0
    assert f"{IMAGES - written} written, {written} skipped" in error
    assert len(results(folder)) == IMAGES
    assert temporaries(folder) == []
    check_whole(folder)


def test_a_killed_run_leaves_a_file_that_the_next_one_removes(folder):
    process = start(folder, scale=8)
    halt(process, lambda: temporaries(folder))
    process.kill()
    process.wait(PATIENCE)
    left = temporaries(folder)
    assert len(left) in (1, 2), "two files are at work at a time"
    assert not list(folder.glob("*_x8.png"))
    again = start(folder / "0.png", "-o", folder / "r.png")
    assert again.communicate(timeout=PATIENCE) and again.returncode == 0
    assert not any(path.exists() for path in left)


def test_a_run_leaves_the_temporary_files_of_a_living_one(folder):
    process = start(folder, scale=8)
    try:
        halt(process, lambda: temporaries(folder))
        living = temporaries(folder)
        other = start(folder / "0.png", "-o", folder / "r.png")
        assert other.communicate(timeout=PATIENCE) and other.returncode == 0
        assert temporaries(folder) == living
    finally:
        process.kill()
        process.communicate()


def test_stopped_while_reading_a_slow_input(tmp_path):
    os.mkfifo(tmp_path / "slow.png")
    process = start(tmp_path / "slow.png")
    writer = os.open(tmp_path / "slow.png", os.O_WRONLY)  # returns when the command reads
    os.write(writer, b"\x89PNG\r\n\x1a\n")
    wait_until_idle(process)  # for more; just before, Python would see the signal after the next bytes only
    process.send_signal(signal.SIGINT)
    try:
        error = process.communicate(timeout=PATIENCE)[1]
    finally:
        os.close(writer)
    assert process.returncode == 130
    assert "stopped with 1 to go" in error
    assert [path.name for path in tmp_path.iterdir()] == ["slow.png"]


def test_a_terminal_that_was_closed_stops_it_and_nohup_does_not(folder):
    process = start(folder)
    halt(process, lambda: temporaries(folder))
    process.send_signal(signal.SIGHUP)
    resume(process)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + signal.SIGHUP
    assert temporaries(folder) == []


def test_a_file_too_large_fails_alone(folder):
    """The limit on file sizes behaves as a full disk does: write() fails in the middle."""
    cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tofile(folder / "tiny.png")
    process = start(folder, limit=300_000)
    error = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 1
    assert f"cvsr: 1 written, 0 skipped, {IMAGES} failed" in error
    assert error.count("file size limit") == IMAGES
    assert [path.name for path in results(folder)] == ["tiny_x4.png"]
    assert temporaries(folder) == []

    again = start(folder)
    assert f"{IMAGES} written, 1 skipped" in again.communicate(timeout=PATIENCE)[1]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 700 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    command = [mount, "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(disk)]
    if mount is None or os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("mounting a small tmpfs needs root and the permission to mount")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_leaves_what_fits(folder, small_disk):
    flat = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for number in range(1, IMAGES, 2):
        cv2.imencode(".png", flat)[1].tofile(folder / f"{number}.png")
    process = start(folder, "-o", small_disk)
    error = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 1
    assert "No space left" in error
    assert "file size limit" in error
    done = results(small_disk)
    assert {path.name[0] for path in done} >= {"1", "3", "5"}  # small ones fit even after a large one failed
    for path in done:
        assert reader.read(path).image.shape == (4 * HEIGHT, 4 * WIDTH, 3)
    assert temporaries(small_disk) == []
