"""Frames that mostly stay the same: how much less work they take than without reuse."""

import time

import cv2
import numpy as np
import pytest

import cvsr

SIZE = (1280, 720)


@pytest.mark.long
@pytest.mark.parametrize(("model", "tile", "right"), [("cvsr-small", 192, 520), ("cvsr-medium", 160, 600)])
def test_frames_of_which_a_fifth_changes_take_a_third_of_the_work(photo, model, tile, right):
    """Says both; the assertion is about processor time, which other work on the machine changes little."""
    upscaler = cvsr.Upscaler(model, 2, device="cpu", tile=tile)
    sequence, still = cvsr.Sequence(upscaler), cv2.resize(photo("astronaut"), SIZE)
    upscaler(still), sequence(still)
    random, wall, work = np.random.default_rng(0), {}, {}
    before = sequence.computed, sequence.reused
    for _ in range(7):
        frame = still.copy()
        frame[200:400, 100:right] = random.integers(0, 256, (200, right - 100, 3))
        results = []
        for name, run in (("all", upscaler), ("changed", sequence)):
            began, worked = time.perf_counter(), time.process_time()
            results.append(run(frame))
            work.setdefault(name, []).append(time.process_time() - worked)
            wall.setdefault(name, []).append(time.perf_counter() - began)
        assert np.array_equal(*results)
    computed, reused = sequence.computed - before[0], sequence.reused - before[1]
    ratios = {
        kind: np.median(times["all"]) / np.median(times["changed"]) for kind, times in (("wall", wall), ("work", work))
    }
    print(f"{model}: {reused / (computed + reused):.0%} of the tiles reused; ", end="")
    print(f"{ratios['wall']:.1f} times as fast, {ratios['work']:.1f} times less processor time")
    assert reused / (computed + reused) == pytest.approx(0.8, abs=0.03)
    assert ratios["work"] >= 3
