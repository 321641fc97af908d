"""Threads of an upscaler: several callers, a fork, and a budget that limits their number."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from kit.pictures import colorful
from kit.processes import PATIENCE

import cvsr
from cvsr.inference import plan
from cvsr.inference.network import Network


def test_threads_can_share_an_upscaler(models):
    upscaler = cvsr.Upscaler(models, 2, exact=True, tile=32)
    images = [colorful((50 + i, 60, 3), "uint8") for i in range(4)]
    expected = [cvsr.Upscaler(models, 2, exact=True, tile=32)(image) for image in images]
    wrong = []

    def work(i):
        for _ in range(3):
            if not (upscaler(images[i]) == expected[i]).all():
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_starts_its_own_threads(models):
    """With OpenCV's own threads off: they do not survive a fork either."""
    code = """
import os, sys
import numpy as np
import cvsr
from cvsr._cv2 import cv2
cv2.setNumThreads(1)
upscaler = cvsr.Upscaler(sys.argv[1], 2, tile=16, threads=2)
image = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
expected = upscaler(image)
child = os.fork()
if child == 0:
    os._exit(0 if (upscaler(image) == expected).all() else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    root = str(Path(cvsr.__file__).parents[1])
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", code, str(models)], env=variables, timeout=PATIENCE, check=False)
    assert done.returncode == 0


def test_a_budget_for_two_threads_runs_two_at_a_time(models, monkeypatch):
    image = colorful((256, 512), "uint8")
    info = cvsr.Upscaler(models, 2).info
    budget = next(
        size
        for size in range(3 << 20, 1 << 26, 1 << 17)
        if plan.tiles(info, (512, 256), 1, threads=4, tile=64, max_memory=size).workers == 2
    )
    running, most, forward, enough = [], [], Network.forward, threading.Event()

    def counted(self, blob, requested=""):
        running.append(1)
        most.append(len(running))
        if len(running) == wanted:
            enough.set()
        elif threading.current_thread() is not threading.main_thread():
            enough.wait(PATIENCE)  # for company
        result = forward(self, blob, requested)
        running.pop()
        return result

    monkeypatch.setattr(Network, "forward", counted)
    for wanted, limit in ((2, budget), (4, None)):
        enough.clear()
        most.clear()
        cvsr.Upscaler(models, 2, threads=4, tile=64, max_memory=limit)(image)
        assert max(most) == wanted
