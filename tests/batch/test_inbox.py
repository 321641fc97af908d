"""``cvsr watch``: whole files only, each change once, its own results never; with watchdog's events and without."""

from __future__ import annotations

import argparse
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from kit.processes import PATIENCE, halt, resume, wait_for

import cvsr
from cvsr._cv2 import cv2
from cvsr.batch import inbox as watch
from cvsr.batch.inbox import Inbox
from cvsr.batch.jobs import Source
from cvsr.cli import verbs
from cvsr.cli import watch as cli_watch
from cvsr.cli.bar import Bar
from cvsr.io import reader

ROOT = Path(cvsr.__file__).parent.parent
POSIX = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
WITHOUT = "import sys; sys.modules['watchdog.observers'] = None; from cvsr.cli.verbs import main; sys.exit(main())"


def content(number: int, height: int = 20, width: int = 30) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(number: int, suffix: str = ".png", *size: int) -> bytes:
    return cv2.imencode(suffix, content(number, *size))[1].tobytes()


def doubled(path: Path, number: int) -> bool:
    """Tell whether a result is that of ``content(number)``."""
    return path.exists() and np.array_equal(reader.read(path).image, content(number).repeat(2, 0).repeat(2, 1))


@pytest.fixture
def root(tmp_path) -> Path:
    here = tmp_path / "in"
    here.mkdir()
    return here


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def start(root, out):
    """Start ``cvsr watch`` in a process of its own, and end it with the test."""
    running: list[subprocess.Popen] = []

    def begin(*options: str, events: bool = False) -> subprocess.Popen:
        poll = () if "--once" in options else ("--poll", "60" if events else "0.1")
        command = [sys.executable, *(("-m", "cvsr") if events else ("-c", WITHOUT)), "watch", root]
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
    """Wait until it says something; return all that it has said by then, which `ended` does not repeat."""
    said = b""
    while what.encode() not in said:
        piece = os.read(process.stderr.fileno(), 1 << 16)  # past the buffer of the stream, as `communicate` does
        assert piece, said
        said += piece
    return said.decode()


@POSIX
@pytest.mark.parametrize("events", [False, True])
def test_what_is_there_and_what_comes(start, root, out, events):
    if events:
        pytest.importorskip("watchdog", reason="needs the extra watch")
    (root / "there.png").write_bytes(encoded(1))
    process = start(events=events)
    wait_for(lambda: doubled(out / "there_x2.png", 1), process)
    (root / "new.png").write_bytes(encoded(2))
    (root / "notes.txt").write_bytes(b"no image")
    (root / "hidden.part").write_bytes(encoded(3))
    (root / "hidden.part").rename(root / "moved.png")
    wait_for(lambda: doubled(out / "new_x2.png", 2) and doubled(out / "moved_x2.png", 3), process)
    (root / "new.png").write_bytes(encoded(4))
    (root / "moved.png").unlink()
    wait_for(lambda: doubled(out / "new_x2.png", 4), process)
    (root / "moved.png").write_bytes(encoded(5))
    wait_for(lambda: doubled(out / "moved_x2.png", 5), process)
    said = ended(process)
    assert "5 written, 0 failed" in said
    assert ("looking every" in said) is not events
    assert sorted(path.name for path in out.iterdir()) == ["moved_x2.png", "new_x2.png", "there_x2.png"]


@POSIX
def test_a_file_that_grows_slowly_is_never_taken_half(start, root, out):
    process = start()
    data = encoded(1)
    with (root / "slow.png").open("wb") as stream:
        for part in range(8):
            stream.write(data[part * len(data) // 8 : (part + 1) * len(data) // 8])
            stream.flush()
            time.sleep(1 if part == 4 else 0.1)  # once, longer than the settling time
            assert not out.exists() or not list(out.iterdir())
    wait_for(lambda: doubled(out / "slow_x2.png", 1), process)
    assert "1 written, 0 failed" in ended(process)


@POSIX
def test_a_broken_file_is_reported_once_and_taken_when_it_is_mended(start, root, out):
    (root / "a.png").write_bytes(encoded(1)[:500])
    (root / "b.png").write_bytes(encoded(2))
    process = start()
    wait_for(lambda: doubled(out / "b_x2.png", 2), process)
    said = told(process, "cannot be decoded")
    time.sleep(1)  # it is looked at again meanwhile
    (root / "a.png").write_bytes(encoded(3))
    wait_for(lambda: doubled(out / "a_x2.png", 3), process)
    said += ended(process, signal.SIGINT)
    assert said.count("cannot be decoded") == 1
    assert "2 written, 1 failed" in said


def test_once_with_results_inside_the_folder_and_again(start, root, out, tmp_path):
    (root / "sub").mkdir()
    for number, name in enumerate(("a.png", "sub/b.bmp", "sub/.c.png")):
        (root / name).write_bytes(encoded(number, Path(name).suffix))
    process = start("-r", "--once", "-o", str(root / "results"))
    assert "2 written, 0 failed" in process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 0
    results = [root / "results/a_x2.png", root / "results/sub/b_x2.bmp"]
    assert sorted(path for path in (root / "results").rglob("*") if path.is_file()) == results
    before = [path.stat().st_mtime_ns for path in results]
    process = start("-r", "--once", "-o", str(root / "results"))
    assert "0 written, 0 failed" in process.communicate(timeout=PATIENCE)[1]
    assert [path.stat().st_mtime_ns for path in results] == before
    later = time.time() + 5
    os.utime(root / "a.png", (later, later))
    process = start("-r", "--once", "-o", str(root / "results"))
    assert "1 written, 0 failed" in process.communicate(timeout=PATIENCE)[1]


def test_once_fails_where_a_file_is_broken_or_two_want_one_name(start, root):
    (root / "a.png").write_bytes(encoded(1))
    (root / "a.bmp").write_bytes(encoded(2, ".bmp"))
    (root / "b.png").write_bytes(b"broken")
    process = start("--once", "--format", "png")
    said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 1
    assert "1 written, 2 failed" in said
    assert "a.png: its result would have the same name as that of" in said


@POSIX
def test_a_signal_ends_it_after_the_file_in_work(start, root, out):
    for number in range(3):
        (root / f"{number}.png").write_bytes(encoded(number, ".png", 300, 400))
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
def test_ended_at_once_it_leaves_nothing_half_and_the_next_one_does_all(start, root, out, how):
    (root / "a.png").write_bytes(encoded(0, ".png", 300, 400))
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
def test_a_folder_that_goes_and_comes_back(start, root, out):
    (root / "a.png").write_bytes(encoded(1))
    process = start()
    wait_for(lambda: doubled(out / "a_x2.png", 1), process)
    away = root.rename(root.with_name("away"))
    said = told(process, "is gone")
    away.rename(root)
    (root / "b.png").write_bytes(encoded(2))
    wait_for(lambda: doubled(out / "b_x2.png", 2), process)
    said += ended(process)
    assert "is gone: waiting for it" in said and "there again" in said
    assert "2 written, 0 failed" in said, "the first one is as it was"


@pytest.fixture
def service(root, out):
    parser = argparse.ArgumentParser()
    cli_watch.add_arguments(parser)
    args = parser.parse_args([str(root), "-o", str(out), "-m", "nearest", "--settle", "0"])
    return cli_watch.Service(args, Bar(io.StringIO()), [])


def test_a_file_that_changes_while_it_is_upscaled_gets_no_result_of_then(service, root, out, monkeypatch):
    (root / "a.png").write_bytes(encoded(1))
    bands = service._converter._upscaler.bands

    def meanwhile(*args, **keywords):
        yield from bands(*args, **keywords)
        (root / "a.png").write_bytes(encoded(2))

    monkeypatch.setattr(service._converter._upscaler, "bands", meanwhile)
    service.look()
    assert not list(out.iterdir()) and not service.failed
    monkeypatch.undo()
    service.look()
    assert doubled(out / "a_x2.png", 2)


def test_a_file_that_goes_while_it_is_its_turn_is_forgotten(service, root, monkeypatch):
    (root / "a.png").write_bytes(encoded(1))
    monkeypatch.setattr(watch.File, "changed", lambda file: not file.source.path.exists())
    monkeypatch.setattr(service, "_refuse", lambda job: job.source.unlink())
    service.look()
    service.look()
    assert (service.written, service.failed, service.inbox.files) == (0, 0, {})


def test_a_result_that_cannot_be_written_is_tried_again_and_said_once(service, root, out):
    (root / "a.png").write_bytes(encoded(1))
    out.write_bytes(b"no folder")
    service.look()
    service.inbox.files[root / "a.png"].due = 0
    service.look()
    assert service._bar._stream.getvalue().count("cannot be written") == 1
    out.unlink()
    service.inbox.files[root / "a.png"].due = 0
    service.look()
    assert doubled(out / "a_x2.png", 1)


def test_files_are_ready_when_they_have_not_changed_for_the_settling_time(root):
    path = root / "a.png"
    inbox, sources = Inbox(2), [Source(path)]
    assert inbox.look(sources, 0) == [] and inbox.next_due() is None
    path.write_bytes(b"1")
    assert inbox.look(sources, 1) == [] and inbox.next_due() == 3
    assert inbox.look(sources, 2.9) == []
    path.write_bytes(b"12")
    assert inbox.look(sources, 3) == [] and inbox.next_due() == 5
    [file] = inbox.look(sources, 5)
    assert file.source.path == path and not file.changed()
    assert not inbox.broken(file, 5) and inbox.next_due() == 5 + watch.PATIENCE * 2, "its writer may be slow"
    [file] = inbox.look(sources, 13)
    assert inbox.broken(file, 13) and inbox.look(sources, 99) == []
    shutil.copy(path, root / "b.png")
    (root / "b.png").rename(path)  # of the same size: another file all the same
    assert inbox.look(sources, 100) == [] and inbox.look(sources, 102) != []


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["in", "-o", "in"], "name another folder"),
        (["in", "-o", "in/../in"], "name another folder"),
        (["in", "-o", ".", "-r"], "name another folder"),
        (["in", "-o", "file"], "is a file"),
        (["nix", "-o", "out"], "is no folder"),
    ],
)
def test_folders_that_cannot_be(tmp_path, root, monkeypatch, capfd, argv, hint):
    monkeypatch.chdir(tmp_path)
    Path("file").write_bytes(b"")
    assert verbs.main(["watch", *argv, "--once"]) in (1, 2)
    assert hint in capfd.readouterr().err
