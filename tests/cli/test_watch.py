"""``cvsr watch``: whole files only, each change once, its own results never; with watchdog's events and without."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from kit.commands import ROOT
from kit.numbered import content, doubled, encoded
from kit.processes import PATIENCE, halt, resume, wait_for

from cvsr.io import reader

POSIX = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
WITHOUT = "import sys; sys.modules['watchdog.observers'] = None; from cvsr.cli.verbs import main; sys.exit(main())"


@pytest.fixture
def start(inbox, out):
    """Start ``cvsr watch`` in a process of its own, and end it with the test."""
    running: list[subprocess.Popen] = []

    def begin(*options: str, events: bool = False) -> subprocess.Popen:
        poll = () if "--once" in options else ("--poll", "60" if events else "0.1")
        command = [sys.executable, *(("-m", "cvsr") if events else ("-c", WITHOUT)), "watch", inbox]
        arguments = ["-o", out, "-m", "nearest", "--settle", "0.3", *poll, *options]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            [str(part) for part in (*command, *arguments)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen, how: int = signal.SIGTERM) -> str:
    process.send_signal(how)
    said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 0, said
    return said


def told(process: subprocess.Popen, what: str) -> str:
    """Wait until it prints ``what``; return all that it has printed by then, which `ended` does not repeat."""
    said = b""
    while what.encode() not in said:
        piece = os.read(process.stderr.fileno(), 1 << 16)  # past the buffer of the stream, as `communicate` does
        assert piece, said
        said += piece
    return said.decode()


@POSIX
@pytest.mark.parametrize("events", [False, True])
def test_existing_and_new_files_are_upscaled(start, inbox, out, events):
    if events:
        pytest.importorskip("watchdog", reason="needs the extra watch")
    (inbox / "there.png").write_bytes(encoded(1))
    process = start(events=events)
    wait_for(lambda: doubled(out / "there_x2.png", 1), process)
    (inbox / "new.png").write_bytes(encoded(2))
    (inbox / "notes.txt").write_bytes(b"no image")
    (inbox / "hidden.part").write_bytes(encoded(3))
    (inbox / "hidden.part").rename(inbox / "moved.png")
    wait_for(lambda: doubled(out / "new_x2.png", 2) and doubled(out / "moved_x2.png", 3), process)
    (inbox / "new.png").write_bytes(encoded(4))
    (inbox / "moved.png").unlink()
    wait_for(lambda: doubled(out / "new_x2.png", 4), process)
    (inbox / "moved.png").write_bytes(encoded(5))
    wait_for(lambda: doubled(out / "moved_x2.png", 5), process)
    said = ended(process)
    assert "5 written, 0 failed" in said
    assert ("scanned every" in said) is not events
    assert sorted(path.name for path in out.iterdir()) == ["moved_x2.png", "new_x2.png", "there_x2.png"]


@POSIX
def test_a_file_that_grows_slowly_is_never_taken_half(start, inbox, out):
    process = start()
    data = encoded(1)
    with (inbox / "slow.png").open("wb") as stream:
        for part in range(8):
            stream.write(data[part * len(data) // 8 : (part + 1) * len(data) // 8])
            stream.flush()
            time.sleep(1 if part == 4 else 0.1)  # once, longer than the settling time
            assert not out.exists() or not list(out.iterdir())
    wait_for(lambda: doubled(out / "slow_x2.png", 1), process)
    assert "1 written, 0 failed" in ended(process)


@POSIX
def test_a_broken_file_is_reported_once_and_taken_when_it_is_mended(start, inbox, out):
    (inbox / "a.png").write_bytes(encoded(1)[:500])
    (inbox / "b.png").write_bytes(encoded(2))
    process = start()
    wait_for(lambda: doubled(out / "b_x2.png", 2), process)
    said = told(process, "cannot be decoded")
    time.sleep(1)  # it is looked at again meanwhile
    (inbox / "a.png").write_bytes(encoded(3))
    wait_for(lambda: doubled(out / "a_x2.png", 3), process)
    said += ended(process, signal.SIGINT)
    assert said.count("cannot be decoded") == 1
    assert "2 written, 1 failed" in said


def test_once_with_results_inside_the_folder_and_again(start, inbox, out, tmp_path):
    (inbox / "sub").mkdir()
    for number, name in enumerate(("a.png", "sub/b.bmp", "sub/.c.png")):
        (inbox / name).write_bytes(encoded(number, Path(name).suffix))
    process = start("-r", "--once", "-o", str(inbox / "results"))
    assert "2 written, 0 failed" in process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 0
    results = [inbox / "results/a_x2.png", inbox / "results/sub/b_x2.bmp"]
    assert sorted(path for path in (inbox / "results").rglob("*") if path.is_file()) == results
    before = [path.stat().st_mtime_ns for path in results]
    process = start("-r", "--once", "-o", str(inbox / "results"))
    assert "0 written, 0 failed" in process.communicate(timeout=PATIENCE)[1]
    assert [path.stat().st_mtime_ns for path in results] == before
    later = time.time() + 5
    os.utime(inbox / "a.png", (later, later))
    process = start("-r", "--once", "-o", str(inbox / "results"))
    assert "1 written, 0 failed" in process.communicate(timeout=PATIENCE)[1]


def test_once_fails_if_a_file_is_broken_or_two_results_have_one_name(start, inbox):
    (inbox / "a.png").write_bytes(encoded(1))
    (inbox / "a.bmp").write_bytes(encoded(2, ".bmp"))
    (inbox / "b.png").write_bytes(b"broken")
    process = start("--once", "--format", "png")
    said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 1
    assert "1 written, 2 failed" in said
    assert "a.png: its result would have the same name as the result of" in said


@POSIX
def test_a_signal_ends_it_after_the_file_in_work(start, inbox, out):
    for number in range(3):
        (inbox / f"{number}.png").write_bytes(encoded(number, ".png", 300, 400))
    process = start("-s", "6")
    halt(process, lambda: out.exists() and list(out.glob(".cvsr-*")))
    process.send_signal(signal.SIGTERM)
    resume(process)
    said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 0 and "1 written, 0 failed" in said and "Traceback" not in said
    [result] = out.iterdir()
    assert np.array_equal(reader.read(result).image, content(0, 300, 400).repeat(6, 0).repeat(6, 1))


@POSIX
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_killed_it_leaves_no_partial_file_and_the_next_run_finishes(start, inbox, out, how):
    (inbox / "a.png").write_bytes(encoded(0, ".png", 300, 400))
    process = start("-s", "10")
    halt(process, lambda: out.exists() and list(out.glob(".cvsr-*")))
    process.send_signal(how)
    resume(process)
    while how == signal.SIGINT and process.poll() is None:
        time.sleep(0.4)  # two at once may count as one
        process.send_signal(how)
    process.communicate(timeout=PATIENCE)
    assert process.returncode in (128 + how, -how)  # where a last one comes when Python is about to end
    process = start("-s", "10", "--once")
    process.communicate(timeout=PATIENCE)
    [result] = out.iterdir()
    assert result.name == "a_x10.png" and reader.read(result).image.shape == (3000, 4000, 3)


@POSIX
def test_a_folder_that_goes_and_comes_back(start, inbox, out):
    (inbox / "a.png").write_bytes(encoded(1))
    process = start()
    wait_for(lambda: doubled(out / "a_x2.png", 1), process)
    away = inbox.rename(inbox.with_name("away"))
    said = told(process, "is gone")
    away.rename(inbox)
    (inbox / "b.png").write_bytes(encoded(2))
    wait_for(lambda: doubled(out / "b_x2.png", 2), process)
    said += ended(process)
    assert "is gone: waiting for it" in said and "there again" in said
    assert "2 written, 0 failed" in said, "the first one is as it was"
