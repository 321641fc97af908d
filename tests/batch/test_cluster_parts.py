"""The pieces of ``cvsr upscale --scheduler``, without a cluster."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from cvsr.batch import cluster, cluster_worker
from cvsr.batch.jobs import Job
from cvsr.batch.outcome import Outcome
from cvsr.cli import verbs
from cvsr.cli.bar import Bar
from cvsr.errors import CvsrError, DeviceError, FileError, OptionError
from cvsr.io import reader
from cvsr.options import Options

NEAREST = Options(model="nearest")


@pytest.fixture
def inputs(tmp_path) -> Path:
    """A folder with one picture."""
    here = tmp_path / "in"
    here.mkdir()
    cv2.imwrite(str(here / "000.png"), np.full((30, 40, 3), 90, np.uint8))
    return here


def made(**changes) -> cluster_worker.ClusterRun:
    return cluster_worker.ClusterRun(**{"options": NEAREST, "name": "r", "marker": None, "overwrite": False, **changes})


def test_a_worker_that_sees_other_folders_says_so(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    job = Job(tmp_path / "a.png", tmp_path / "out/a_x2.png")
    report = cluster_worker.enlarge(made(marker=tmp_path / "out/.marker"), job)
    assert "does not see" in str(report.error) and str(tmp_path / "out") in str(report.error)
    report = cluster_worker.enlarge(made(), Job(tmp_path / "in/a.png", tmp_path / "a_x2.png"))
    assert f"does not see {tmp_path / 'in'}" in str(report.error)
    assert not (tmp_path / "out").exists()
    assert pickle.loads(pickle.dumps(report)).worker == report.worker


def test_errors_that_another_worker_may_not_have_are_raised(inputs, tmp_path):
    (tmp_path / "out").write_bytes(b"no folder")
    with pytest.raises(FileError, match="cannot be written"):
        cluster_worker.enlarge(made(), Job(inputs / "000.png", tmp_path / "out/a.png"))


def test_a_result_that_a_lost_worker_wrote_is_not_written_again(inputs, tmp_path):
    (tmp_path / "a.png").write_bytes(b"there")
    assert cluster_worker.enlarge(made(), Job(inputs / "000.png", tmp_path / "a.png")).error is None
    assert (tmp_path / "a.png").read_bytes() == b"there"
    assert cluster_worker.enlarge(made(overwrite=True), Job(inputs / "000.png", tmp_path / "a.png")).error is None
    assert reader.read(tmp_path / "a.png").image.shape == (60, 80, 3)


def test_failures_are_said_as_in_an_ordinary_run(tmp_path):
    class KilledWorker(Exception):
        pass

    job, outcome = Job(Path("/in/a.png"), Path("/out/a.png")), Outcome(Bar(sys.stderr), 3)
    cluster._take("finished", cluster_worker.Finished("w", FileError("/in/a.png is empty")), job, outcome)
    cluster._take("error", (KilledWorker, KilledWorker(), None), job, outcome)
    cluster._take("error", (OSError, OSError("stale"), None), job, outcome)
    assert outcome.failed[0] == "/in/a.png is empty"
    assert outcome.failed[1].startswith("/in/a.png: all workers that began it died")
    assert outcome.failed[2] == "/in/a.png: stale (tried 3 times)"
    with pytest.raises(DeviceError, match="on the worker w: no"):
        cluster._take("finished", cluster_worker.Finished("w", DeviceError("no")), job, outcome)
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
    assert cluster.portable(Options(model=model.name, scale=2)) == Options(model=str(model), scale=2)
    for name in ("cvsr-small", "nearest"):
        assert cluster.portable(Options(model=name)) == Options(model=name)
    there = pickle.loads(pickle.dumps(cluster.portable(Options(model=model.name, size=(40, 30)))))
    assert (there.model, there.size, there.tag) == (str(model), (40, 30), "_40x30")


def test_without_dask_it_says_what_to_type(inputs, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert verbs.main(["upscale", str(inputs), "--scheduler", "tcp://127.0.0.1:9"]) == 2
    assert 'pip install ".[dask]"' in capfd.readouterr().err
