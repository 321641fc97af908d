"""Films that are stopped or killed: what is there plays, and the same command with --resume finishes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kit.processes import PATIENCE, halt, resume

pytest.importorskip("av", reason="films need PyAV: pip install '.[video]'")
from kit import films

from cvsr.cli import verbs
from cvsr.cli import video as command
from cvsr.errors import ModelError
from cvsr.video import parts

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")

FRAMES, LENGTH = 60, 10
# parts of ten frames, and a step that takes long enough to be stopped in
SLOW = f"""
import sys, time
from cvsr import cli
from cvsr.cli import video
from cvsr.video import parts
parts.LENGTH = {LENGTH}
make = video.enlarger
def slow(upscaler):
    enlarge = make(upscaler)
    def one(image):
        time.sleep(float(sys.argv[1]))
        return enlarge(image)
    return one
video.enlarger = slow
sys.exit(cli.main(sys.argv[2:]))
"""


@pytest.fixture
def source(tmp_path) -> Path:
    return films.make(tmp_path / "in.mp4", FRAMES, sound=True)


def start(pause: float, *argv: str | Path) -> subprocess.Popen[bytes]:
    def before_exec():
        # a shell that starts tests in the background would have its children ignore Ctrl-C
        signal.signal(signal.SIGINT, signal.default_int_handler)

    command = [sys.executable, "-c", SLOW, str(pause), "video", *map(str, argv), "-m", "bilinear"]
    return subprocess.Popen(command, preexec_fn=before_exec, stderr=subprocess.PIPE)


def halt_at(process: subprocess.Popen[bytes], folder: Path, count: int) -> None:
    """Stop a process once this many parts are complete; after a signal that does not kill, call `resume`."""
    halt(process, lambda: len(list(folder.glob("[0-9]*.part"))) >= count)


def same(one: Path, other: Path) -> bool:
    pairs = zip(films.planes(one), films.planes(other), strict=True)
    return films.times(one) == films.times(other) and all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_killed_and_resumed_gives_the_same_film(tmp_path, source, name):
    whole, target = tmp_path / f"whole_{name}", tmp_path / name
    assert start(0, source, whole).wait(PATIENCE) == 0
    folder = parts.Parts(target).folder
    for done in (2, 4):  # twice, the second time in the resumed run
        process = start(0.02, source, target, "--resume")
        halt_at(process, folder, done)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not target.exists()
    assert start(0, source, target, "--resume").wait(PATIENCE) == 0
    assert same(target, whole)
    heard = [[data for _, data in films.packets(path)] for path in (target, source)]
    assert heard[0] == heard[1]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["in.mp4", name, whole.name])


def test_an_index_that_was_cut_short_loses_one_part_only(tmp_path, source):
    target = tmp_path / "out.mp4"
    process = start(0.02, source, target)
    folder = parts.Parts(target).folder
    halt_at(process, folder, 3)
    process.kill()
    process.wait()
    index = folder / "parts.jsonl"
    index.write_bytes(index.read_bytes()[:-9])
    assert start(0, source, target, "--resume").wait(PATIENCE) == 0
    assert films.times(target) == films.times(source)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_leaves_a_film_that_plays_and_can_be_finished(tmp_path, source, number):
    target = tmp_path / "out.mp4"
    process = start(0.02, source, target)
    halt_at(process, parts.Parts(target).folder, 1)
    process.send_signal(number)
    resume(process)
    said = process.stderr.read().decode()
    assert process.wait(PATIENCE) == 128 + number
    assert "run it again with --resume" in said
    times = films.times(target)
    assert LENGTH <= len(times) < FRAMES
    assert times == films.times(source)[: len(times)]
    heard = films.packets(target)
    assert abs(heard[-1][0] - times[-1]) < 0.06
    assert start(0, source, target).wait(PATIENCE) == 1  # it is not written over without being asked
    assert start(0, source, target, "--resume").wait(PATIENCE) == 0
    assert films.times(target) == films.times(source)
    assert films.packets(target) == films.packets(source)


def test_parts_of_another_run_are_not_mixed_in(tmp_path, source, capsys):
    target = tmp_path / "out.mp4"
    process = start(0.02, source, target)
    halt_at(process, parts.Parts(target).folder, 1)
    process.kill()
    process.wait()
    argv = ["video", str(source), str(target)]
    assert verbs.main([*argv, "-m", "bilinear"]) == 1
    assert "--resume continues with them" in capsys.readouterr().err
    assert verbs.main([*argv, "-m", "nearest", "--resume"]) == 2
    assert "model was" in capsys.readouterr().err
    assert verbs.main([*argv, "-m", "bilinear", "--crf", "30", "--resume"]) == 2
    assert verbs.main([*argv, "-m", "nearest", "--overwrite"]) == 0
    assert len(films.times(target)) == FRAMES


def test_an_error_in_the_first_part_leaves_nothing(tmp_path, source, monkeypatch):
    def broken(upscaler):
        def one(image):
            raise ModelError("it is broken")

        return one

    monkeypatch.setattr(command, "enlarger", broken)
    assert verbs.main(["video", str(source), str(tmp_path / "out.mp4"), "-m", "bilinear"]) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["in.mp4"]


def test_a_folder_without_a_whole_part_is_in_nobodys_way(tmp_path, source):
    target = tmp_path / "out.mp4"
    process = start(0.2, source, target)
    halt(process, (parts.Parts(target).folder / "parts.jsonl").is_file)
    process.kill()
    process.wait()
    assert start(0, source, target).wait(PATIENCE) == 0


def test_a_full_disk_is_said_and_costs_no_part(tmp_path, source):
    pytest.importorskip("resource")
    target = tmp_path / "out.mkv"
    noise = films.make(
        tmp_path / "noise.mkv", 40, codec="ffv1",
        images=np.random.default_rng(0).integers(0, 256, (40, 48, 64, 3), dtype=np.uint8),
    )  # fmt: skip
    argv = ["0", "video", str(noise), str(target), "-m", "nearest", "--codec", "ffv1"]
    assert verbs.main(argv[1:]) == 0
    limit = target.stat().st_size // 2  # bytes of a file: parts fit, the film does not
    target.unlink()
    code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n" + SLOW
    run = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stderr
    assert "file size limit" in run.stderr and "Traceback" not in run.stderr
    assert not target.exists()
    assert verbs.main([*argv[1:], "--resume"]) == 0
    assert len(films.times(target)) == 40
