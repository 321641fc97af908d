"""``cvsr upscale --scheduler`` on a real cluster of processes: every result once, whatever dies meanwhile."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kit.processes import PATIENCE, wait_for

import cvsr
from cvsr._cv2 import cv2
from cvsr.batch import cluster, cluster_worker
from cvsr.cli import verbs
from cvsr.io import reader as files

distributed = pytest.importorskip("distributed", reason="needs the extra dask")
da = pytest.importorskip("dask.array", reason="needs the extra dask")

import cvsr.dask

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")

ROOT = Path(cvsr.__file__).parent.parent


@pytest.fixture(scope="module")
def workers():
    """A cluster of two processes with two threads each."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None, memory_limit=0
    ) as running:
        yield running


@pytest.fixture(scope="module")
def client(workers):
    with distributed.Client(workers, set_as_default=False) as connected:
        yield connected


@pytest.fixture
def inputs(tmp_path) -> Path:
    here = tmp_path / "in"
    here.mkdir()
    return here


def content(number: int, height: int = 30, width: int = 40) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)


def fill(folder: Path, count: int, *size: int) -> None:
    for number in range(count):
        cv2.imencode(".png", content(number, *size))[1].tofile(folder / f"{number:03}.png")


def start(workers, *argv: str | Path) -> subprocess.Popen:
    def before_exec():  # a shell that starts tests in the background would have its children ignore Ctrl-C
        signal.signal(signal.SIGINT, signal.default_int_handler)

    command = [sys.executable, "-m", "cvsr", "upscale", *map(str, argv), "--scheduler", workers.scheduler_address]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=before_exec)


def run(workers, *argv: str | Path, code: int = 0) -> str:
    process = start(workers, *argv)
    said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == code, said
    return said


def check_whole(folder: Path, count: int, *size: int) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [f"{number:03}_x4.png" for number in range(count)]
    for number in range(count):
        expected = content(number, *size).repeat(4, 0).repeat(4, 1)
        np.testing.assert_array_equal(files.read(folder / f"{number:03}_x4.png").image, expected)


def busy(dask_worker) -> bool:
    """Return whether a worker computes: of cancelled tasks that had begun it knows, and the scheduler no longer."""
    return bool(dask_worker.state.executing)


def test_a_folder_is_done_like_on_one_machine_and_each_process_makes_its_network_once(
    workers, client, inputs, model, tmp_path
):
    fill(inputs, 12)
    (inputs / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    cv2.imencode(".tiff", np.zeros((8, 8, 3), np.float32))[1].tofile(inputs / "z.tiff")
    options = (inputs, "-o", tmp_path / "out", "-m", model, "--format", "png")
    said = run(workers, *options, code=1)
    assert "13 written, 0 skipped, 1 failed" in said
    assert said.count("broken.png cannot be decoded") == 1
    assert "png keeps 16 bits of its 32 bits" in said, "remarks come from the workers"
    upscaler = cvsr.Upscaler(model, 2)
    np.testing.assert_array_equal(files.read(tmp_path / "out/003_x2.png").image, upscaler(content(3)))
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert len(written) == 13
    assert "0 written, 13 skipped (done already; --overwrite does them again), 1 failed" in run(
        workers, *options, code=1
    )
    assert "13 written" in run(workers, *options, "--overwrite", code=1)
    assert all(path.stat().st_mtime_ns > before for path, before in written.items())
    made = client.run(lambda: cluster_worker._enlarger.cache_info().misses)
    assert sorted(made.values()) == [1, 1], "one network for each process, for three runs"


def test_a_worker_that_is_killed_loses_nothing(workers, client, inputs, tmp_path):
    fill(inputs, 8, 200, 300)
    out = tmp_path / "out"
    process = start(workers, inputs, "-o", out, "-m", "nearest", "-s", "4")
    wait_for(lambda: len(list(out.glob("*_x4.png"))) >= 3)
    before = client.run(os.getpid)
    os.kill(next(iter(before.values())), signal.SIGKILL)
    said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 0, said
    assert "8 written, 0 skipped, 0 failed" in said
    assert set(client.run(os.getpid).values()) != set(before.values()), "the worker is another one"
    check_whole(out, 8, 200, 300)


@pytest.mark.long
def test_an_array_is_whole_though_a_worker_is_killed(workers, client, model):
    """What it had computed is computed anew, to the same bits; half a minute goes by until dask gives it up."""
    image = content(0, 900, 800)
    upscaler = cvsr.Upscaler(model, 2, exact=True)
    chunks = cvsr.dask.upscale(da.from_array(image, chunks=(60, 60, 3)), upscaler)
    made = client.compute(chunks)
    wait_for(lambda: sum(map(len, client.has_what().values())) >= 40)
    before = client.run(os.getpid)
    os.kill(next(iter(before.values())), signal.SIGKILL)
    assert not made.done()
    np.testing.assert_array_equal(made.result(timeout=PATIENCE), upscaler(image))
    assert set(client.run(os.getpid).values()) != set(before.values()), "the worker is another one"


@pytest.mark.parametrize("count", [100, pytest.param(500, marks=pytest.mark.long)])
def test_images_over_two_workers_are_written_once_though_workers_die(workers, client, inputs, tmp_path, count):
    fill(inputs, count)
    out, seen = tmp_path / "out", {}
    process = start(workers, inputs, "-o", out, "-m", "nearest", "-s", "4")
    killed = 0
    while process.poll() is None:
        for path in out.glob("*_x4.png"):  # a file that is written again is another one
            seen.setdefault(path.name, set()).add(path.stat().st_ino)
        if killed < 2 and len(seen) > count // 5 * (killed + 1):
            os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
            killed += 1
    said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 0 and f"{count} written, 0 skipped, 0 failed" in said
    assert killed == 2
    for path in out.glob("*_x4.png"):
        seen.setdefault(path.name, set()).add(path.stat().st_ino)
    assert {len(files) for files in seen.values()} == {1}
    check_whole(out, count)


def test_ctrl_c_cancels_what_is_left_and_the_next_run_goes_on(workers, client, inputs, tmp_path):
    fill(inputs, 40, 200, 300)
    out = tmp_path / "out"
    options = (inputs, "-o", out, "-m", "nearest", "-s", "4")
    process = start(workers, *options)
    wait_for(lambda: len(list(out.glob("*_x4.png"))) >= 3)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 130
    assert "Traceback" not in said
    assert re.search(r"\d+ written, 0 skipped, 0 failed, stopped with \d+ to go", said)
    wait_for(lambda: not any(client.processing().values()))
    wait_for(lambda: not any(client.run(busy).values()))  # what workers had begun, they finish
    done = len(list(out.glob("*_x4.png")))
    assert 3 <= done < 40
    assert f"{40 - done} written, {done} skipped" in run(workers, *options)
    check_whole(out, 40, 200, 300)


def test_what_is_wrong_with_all_files_stops_at_once(workers, inputs, tmp_path, capfd):
    fill(inputs, 3)
    argv = ["upscale", str(inputs), "-o", str(tmp_path / "out"), "--scheduler", workers.scheduler_address]
    assert verbs.main([*argv, "-d", "cuda"]) == 3
    said = capfd.readouterr().err
    assert "on the worker" in said and "cuda" in said
    assert verbs.main([*argv, "-m", "cvsr-huge"]) == 2
    assert verbs.main([*argv, "--max-memory", "1M"]) == 2
    assert "raise it" in capfd.readouterr().err


def test_no_scheduler(inputs, monkeypatch, capfd):
    fill(inputs, 1)
    monkeypatch.setattr(cluster, "_CONNECT", 0.5)
    assert verbs.main(["upscale", str(inputs), "--scheduler", "tcp://127.0.0.1:9"]) == 2
    assert "start one with `dask scheduler`" in capfd.readouterr().err
    assert verbs.main(["upscale", "-", "-o", str(inputs / "a.png"), "--scheduler", "tcp://127.0.0.1:9"]) == 2
    assert "--scheduler is for files" in capfd.readouterr().err
