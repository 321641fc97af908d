"""OpenCV's number of threads, a setting of the whole process, is what it was when cvsr is done."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import cvsr
from cvsr._cv2 import cv2
from cvsr.errors import Cancelled
from cvsr.opencv import threads


@pytest.fixture(autouse=True)
def three():
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    yield
    cv2.setNumThreads(before)


def test_the_outermost_block_restores_the_number_of_threads():
    with threads.single_threaded():
        with threads.single_threaded():
            assert (cv2.getNumThreads(), threads.count()) == (1, 3)
        assert cv2.getNumThreads() == 1
    assert (cv2.getNumThreads(), threads.count()) == (3, 3)


def test_nothing_changes_unless_it_is_wanted():
    with threads.single_threaded(False):
        assert cv2.getNumThreads() == 3


def test_a_number_set_meanwhile_stays():
    with threads.single_threaded():
        cv2.setNumThreads(2)
    assert cv2.getNumThreads() == 2


def test_an_error_restores_the_number_of_threads():
    with pytest.raises(KeyError), threads.single_threaded():
        raise KeyError
    assert cv2.getNumThreads() == 3


def test_an_upscaler_leaves_it_as_it_was():
    upscaler, seen = cvsr.Upscaler("cvsr-small", 2, tile=16), set()
    image = np.zeros((40, 40, 3), np.uint8)
    upscaler(image, progress=lambda _: seen.add(cv2.getNumThreads()))
    assert seen == {1} and cv2.getNumThreads() == 3
    with pytest.raises(Cancelled):
        upscaler(image, cancel=lambda: True)
    assert cv2.getNumThreads() == 3


def test_the_number_of_threads_is_restored_between_bands():
    bands = cvsr.Upscaler("cvsr-small", 2, tile=16, threads=2).bands(np.zeros((400, 40, 3), np.uint8))
    next(bands)
    assert cv2.getNumThreads() == 3, "between two bands the process is the caller's"


def test_several_at_a_time():
    upscaler, image = cvsr.Upscaler("cvsr-small", 2, tile=16), np.zeros((40, 40, 3), np.uint8)
    running = [threading.Thread(target=upscaler, args=(image,)) for _ in range(4)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert cv2.getNumThreads() == 3
