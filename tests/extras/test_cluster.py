"""``cvsr upscale --scheduler`` on a real cluster of processes: every result once, whatever dies meanwhile."""

from __future__ import annotations

import os
import pickle
import re
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np
import onnxlite
import pytest

import cvsr
from cvsr import cli, cluster, clusterworker, files
from cvsr._cv2 import cv2
from cvsr.cli_upscale import Outcome
from cvsr.errors import CvsrError, DeviceError, FileError, OptionError
from cvsr.folder import Job
from cvsr.progress import Bar

distributed = pytest.importorskip("distributed", reason="needs the extra dask")
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


@pytest.fixture
def model(tmp_path) -> Path:
    path = tmp_path / "random_x2.onnx"
    path.write_bytes(onnxlite.conv_chain(8, 2, 2))
    return path


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
    said = process.communicate(timeout=120)[1]
    assert process.returncode == code, said
    return said


def check_whole(folder: Path, count: int, *size: int) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [f"{number:03}_x4.png" for number in range(count)]
    for number in range(count):
        expected = content(number, *size).repeat(4, 0).repeat(4, 1)
        np.testing.assert_array_equal(files.read(folder / f"{number:03}_x4.png").image, expected)


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


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
    made = client.run(lambda: clusterworker._converter.cache_info().misses)
    assert sorted(made.values()) == [1, 1], "one network for each process, for three runs"


def test_a_worker_that_is_killed_loses_nothing(workers, client, inputs, tmp_path):
    fill(inputs, 8, 200, 300)
    out = tmp_path / "out"
    process = start(workers, inputs, "-o", out, "-m", "nearest", "-s", "4")
    wait_for(lambda: len(list(out.glob("*_x4.png"))) >= 3)
    before = client.run(os.getpid)
    os.kill(next(iter(before.values())), signal.SIGKILL)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 0, said
    assert "8 written, 0 skipped, 0 failed" in said
    assert set(client.run(os.getpid).values()) != set(before.values()), "the worker is another one"
    check_whole(out, 8, 200, 300)


@pytest.mark.long
def test_500_images_over_two_workers_each_written_once_though_workers_die(workers, client, inputs, tmp_path):
    fill(inputs, 500)
    out, seen = tmp_path / "out", {}
    process = start(workers, inputs, "-o", out, "-m", "nearest", "-s", "4")
    killed = 0
    while process.poll() is None:
        for path in out.glob("*_x4.png"):  # a file that is written again is another one
            seen.setdefault(path.name, set()).add(path.stat().st_ino)
        if killed < 2 and len(seen) > 100 * (killed + 1):
            os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
            killed += 1
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 0 and "500 written, 0 skipped, 0 failed" in said
    assert killed == 2
    for path in out.glob("*_x4.png"):
        seen.setdefault(path.name, set()).add(path.stat().st_ino)
    assert {len(files) for files in seen.values()} == {1}
    check_whole(out, 500)


def test_ctrl_c_cancels_what_is_left_and_the_next_run_goes_on(workers, client, inputs, tmp_path):
    fill(inputs, 16, 200, 300)
    out = tmp_path / "out"
    options = (inputs, "-o", out, "-m", "nearest", "-s", "4")
    process = start(workers, *options)
    wait_for(lambda: len(list(out.glob("*_x4.png"))) >= 3)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "Traceback" not in said
    assert re.search(r"\d+ written, 0 skipped, 0 failed, stopped with \d+ to go", said)
    wait_for(lambda: not any(client.processing().values()))  # what workers had begun, they finish
    done = len(list(out.glob("*_x4.png")))
    assert 3 <= done < 16
    assert f"{16 - done} written, {done} skipped" in run(workers, *options)
    check_whole(out, 16, 200, 300)


def test_what_is_wrong_with_all_files_stops_at_once(workers, inputs, tmp_path, capfd):
    fill(inputs, 3)
    argv = ["upscale", str(inputs), "-o", str(tmp_path / "out"), "--scheduler", workers.scheduler_address]
    assert cli.main([*argv, "-d", "cuda"]) == 3
    said = capfd.readouterr().err
    assert "on the worker" in said and "cuda" in said
    assert cli.main([*argv, "-m", "cvsr-huge"]) == 2
    assert cli.main([*argv, "--max-memory", "1M"]) == 2
    assert "raise it" in capfd.readouterr().err


def test_no_scheduler(inputs, monkeypatch, capfd):
    fill(inputs, 1)
    monkeypatch.setattr(cluster, "_CONNECT", 0.5)
    assert cli.main(["upscale", str(inputs), "--scheduler", "tcp://127.0.0.1:9"]) == 2
    assert "`dask scheduler` starts one" in capfd.readouterr().err
    assert cli.main(["upscale", "-", "-o", str(inputs / "a.png"), "--scheduler", "tcp://127.0.0.1:9"]) == 2
    assert "--scheduler is for files" in capfd.readouterr().err


def order(**changes) -> clusterworker.Order:
    parser = ArgumentParser()
    cli.add_conversion(parser)
    options = tuple(vars(parser.parse_args(["-m", "nearest"])).items())
    facts = {"options": options, "run": "r", "marker": None, "overwrite": False, **changes}
    return clusterworker.Order(**facts)


def test_a_worker_that_sees_other_folders_says_so(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    job = Job(tmp_path / "a.png", tmp_path / "out/a_x2.png")
    report = clusterworker.convert(order(marker=tmp_path / "out/.marker"), job)
    assert "does not see" in str(report.error) and str(tmp_path / "out") in str(report.error)
    report = clusterworker.convert(order(), Job(tmp_path / "in/a.png", tmp_path / "a_x2.png"))
    assert f"does not see {tmp_path / 'in'}" in str(report.error)
    assert not (tmp_path / "out").exists()
    assert pickle.loads(pickle.dumps(report)).worker == report.worker


def test_what_may_go_better_elsewhere_is_raised_for_another_try(inputs, tmp_path):
    fill(inputs, 1)
    (tmp_path / "out").write_bytes(b"no folder")
    with pytest.raises(FileError, match="cannot be written"):
        clusterworker.convert(order(), Job(inputs / "000.png", tmp_path / "out/a.png"))


def test_a_result_that_a_lost_worker_wrote_is_not_written_again(inputs, tmp_path):
    fill(inputs, 1)
    (tmp_path / "a.png").write_bytes(b"there")
    assert clusterworker.convert(order(), Job(inputs / "000.png", tmp_path / "a.png")).error is None
    assert (tmp_path / "a.png").read_bytes() == b"there"
    assert clusterworker.convert(order(overwrite=True), Job(inputs / "000.png", tmp_path / "a.png")).error is None
    assert files.read(tmp_path / "a.png").image.shape == (60, 80, 3)


def test_failures_are_said_as_in_an_ordinary_run(tmp_path):
    class KilledWorker(Exception):
        pass

    job, outcome = Job(Path("/in/a.png"), Path("/out/a.png")), Outcome(Bar(sys.stderr), 3)
    cluster._take("finished", clusterworker.Report("w", FileError("/in/a.png is empty")), job, outcome)
    cluster._take("error", (KilledWorker, KilledWorker(), None), job, outcome)
    cluster._take("error", (OSError, OSError("stale"), None), job, outcome)
    assert outcome.failed[0] == "/in/a.png is empty"
    assert outcome.failed[1].startswith("/in/a.png: all the workers that began it died")
    assert outcome.failed[2] == "/in/a.png: stale (tried 3 times)"
    with pytest.raises(DeviceError, match="on the worker w: no"):
        cluster._take("finished", clusterworker.Report("w", DeviceError("no")), job, outcome)
    with pytest.raises(CvsrError, match="the scheduler is gone"):
        cluster._take("cancelled", RuntimeError("lost"), job, outcome)


class FakeClient:
    def __init__(self, **found):
        self.found = found

    def run(self, _function, on_error):
        assert on_error == "return"
        return self.found

    def nthreads(self):
        return dict.fromkeys(self.found, 1)


def test_workers_are_asked_for_their_cvsr(capsys):
    bar = Bar(sys.stderr)
    with pytest.raises(OptionError, match="the worker a cannot run cvsr"):
        cluster._check_workers(FakeClient(a=ModuleNotFoundError("No module named 'cvsr'")), bar)
    cluster._check_workers(FakeClient(a=("0.0.1", True)), bar)
    said = capsys.readouterr().err
    assert "results may differ" in said and "MALLOC_MMAP_THRESHOLD_=" in said
    cluster._check_workers(FakeClient(), bar)
    assert "no workers yet" in capsys.readouterr().err


def test_a_model_file_is_named_as_every_machine_finds_it(model, monkeypatch):
    monkeypatch.chdir(model.parent)
    options = dict(cluster._options(Namespace(model=model.name, scale=2, inputs=["a"], scheduler="tcp://x")))
    assert options == {"model": str(model), "scale": 2}
    assert dict(cluster._options(Namespace(model="cvsr-small")))["model"] == "cvsr-small"
    assert dict(cluster._options(Namespace(model="nearest")))["model"] == "nearest"


def test_without_dask_it_says_what_to_type(inputs, monkeypatch, capfd):
    fill(inputs, 1)
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert cli.main(["upscale", str(inputs), "--scheduler", "tcp://127.0.0.1:9"]) == 2
    assert 'pip install "cvsr[dask]"' in capfd.readouterr().err
