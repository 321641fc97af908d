"""Find the tile size and number of threads that suit a model on this machine, by measuring."""

import statistics
import time

from cvsr.bench.child import picture
from cvsr.inference.saved_plans import SavedPlan
from cvsr.modelfiles.info import ModelInfo
from cvsr.opencv import threads
from cvsr.upscaler import Upscaler

SIDES = (64, 80, 96, 128, 160, 192, 256)
_SIZE = (640, 360)
_ROUNDS = 3  # at least, however slow the model is
_WORTH = 1.03  # the speedup over the rules from which a plan is kept: less is measurement noise


def plans(count: int) -> list[SavedPlan]:
    """Return the plans to try if OpenCV has ``count`` threads.

    The rules choose engine and Winograd: for seven networks of 12 to 64 channels on OpenCV 4.14 and 5.0, direct
    convolutions reached 0.42 to 0.85 of the speed, and the new engine 0.45 to 0.74.
    """
    return [SavedPlan(side, workers) for side in SIDES for workers in sorted({1, count})]


def measured(info: ModelInfo, seconds: float, *, exact: bool = False) -> SavedPlan:
    """Return the fastest plan for a model, or one with tile 0 (follow the rules) if none is clearly faster."""
    image = picture(*_SIZE, 3)
    count = threads.count()
    candidates = plans(count)
    rules = Upscaler(info, info.scale, exact=exact, tuned=False)
    running = {SavedPlan(0, count): rules} | {
        plan: Upscaler(info, info.scale, exact=exact, tile=plan.tile, threads=plan.workers) for plan in candidates
    }
    times: dict[SavedPlan, list[float]] = {plan: [] for plan in running}
    for upscaler in running.values():
        upscaler(image)
    begun, rounds = time.perf_counter(), 0
    while rounds < _ROUNDS or time.perf_counter() - begun < seconds:
        order = list(running)
        for plan in order[rounds % len(order) :] + order[: rounds % len(order)]:
            start = time.perf_counter()
            running[plan](image)
            times[plan].append(time.perf_counter() - start)
        rounds += 1
    reference = times[SavedPlan(0, count)]

    def gain(plan: SavedPlan) -> float:
        return statistics.median(before / after for before, after in zip(reference, times[plan], strict=True))

    best = max(candidates, key=gain)
    return SavedPlan(best.tile, best.workers, round(gain(best), 2)) if gain(best) >= _WORTH else SavedPlan(0, count)
