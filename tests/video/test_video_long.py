"""Whole films with sound: through a network, killed on the way, and memory over many frames; `long`: more of them."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kit.processes import halt

pytest.importorskip("av", reason="films need PyAV: pip install '.[video]'")
from kit import films

import cvsr
from cvsr.video import frames, parts, reader

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")

FILMS = [(150, (320, 180)), pytest.param((300, (640, 360)), marks=pytest.mark.long)]  # frames, and their size


def start(*argv: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "cvsr", "video", *map(str, argv)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module", params=FILMS, ids=["short", "ten seconds"])
def film(request) -> tuple[int, tuple[int, int]]:
    return request.param


@pytest.fixture(scope="module")
def source(film, tmp_path_factory) -> Path:
    return films.make(tmp_path_factory.mktemp("film") / "in.mp4", film[0], size=film[1], sound=True)


@pytest.fixture(scope="module")
def whole(source) -> Path:
    target = source.with_name("whole.mp4")
    process = start(source, target)
    assert process.wait() == 0, process.stderr.read()
    return target


def test_sound_and_duration(film, source, whole):
    assert films.packets(whole) == films.packets(source)
    assert films.times(whole) == films.times(source)
    assert abs(films.seconds(whole) - films.seconds(source)) <= films.seconds(source) / film[0]


def test_frames_are_those_of_single_images(source, whole):
    upscaler = cvsr.Upscaler("auto", 2)
    singles = {
        number: upscaler(shot.image)
        for number, shot in enumerate(reader.Reader(source).frames())
        if number < 10 or number % 30 == 0
    }
    for number, made in enumerate(itertools.islice(frames(source, upscaler), 10)):
        assert np.abs(singles[number].astype(int) - made).max() <= 1
    for number, shot in enumerate(reader.Reader(whole).frames()):
        if number in singles:
            assert np.abs(singles[number].astype(int) - shot.image).mean() < 3


def test_killed_half_way_and_resumed(source, whole):
    target = source.with_name("out.mp4")
    process = start(source, target)
    halt(process, lambda: list(parts.Parts(target).folder.glob("[0-9]*.part")))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not target.exists()
    process = start(source, target, "--resume")
    assert process.wait() == 0, process.stderr.read()
    assert films.times(target) == films.times(whole)
    assert films.packets(target) == films.packets(whole)
    for one, other in zip(films.planes(target), films.planes(whole), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("many", [400, pytest.param(1000, marks=pytest.mark.long)])
def test_memory_is_the_same_for_a_hundred_frames_and_many(tmp_path, many):
    code = "import sys; from cvsr import cli, machine; cli.main(sys.argv[1:]); print(machine.peak())"
    peaks = []
    for count in (100, many):
        source = films.make(tmp_path / f"{count}.mp4", count, size=(256, 144), sound=True)
        argv = [sys.executable, "-c", code, "video", str(source), str(tmp_path / f"large{count}.mp4")]
        peaks.append(int(subprocess.run(argv, capture_output=True, check=True).stdout))
    print(f"peaks: {peaks[0] >> 20} MB for 100 frames, {peaks[1] >> 20} MB for {many}")
    assert abs(peaks[1] / peaks[0] - 1) <= 0.1
