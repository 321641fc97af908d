"""The verb ``cvsr tune``: measure which tiles and threads suit a model on this machine, and remember it."""

from __future__ import annotations

import argparse
import json
import statistics
import time

from cvsr import threads, tuned, zoo
from cvsr.bench.child import picture
from cvsr.errors import OptionError
from cvsr.model import ModelInfo
from cvsr.tuned import Tuned
from cvsr.upscaler import Upscaler

SIDES = (64, 80, 96, 128, 160, 192, 256)
_SIZE = (640, 360)
_ROUNDS = 3  # at least, however slow the model is
_WORTH = 1.03  # what a plan must gain over the rules to be kept: less is the noise of a measurement

_EPILOG = """examples:
  cvsr tune                      the models that come with cvsr, at x2
  cvsr tune FSRCNN_x2.pb         a file of yours
  cvsr tune --forget             back to the rules
Plans are kept in the folder that the environment variable CVSR_CACHE names, else in the user's cache. They change how
fast results come, and with exact=True not one bit of them; without it, as any other tiles, by one step of 8 bits.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``cvsr tune``, and what it is for."""
    parser.description = "Measure for a few seconds which tiles and threads suit a model on this machine; remember it."
    parser.epilog, parser.formatter_class = _EPILOG, argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("models", nargs="*", default=["cvsr-small", "cvsr-medium"], metavar="MODEL", help="names or files")
    add("-s", "--scale", type=int, help="of models that have several; default 2, or a file's own")
    add("--seconds", type=float, default=6, help="how long to measure for each model; default 6")
    add("--exact", action="store_true", help="for results with exact=True, which have plans of their own")
    add("--forget", action="store_true", help="remove all plans, measure nothing")
    add("--json", action="store_true", help="print JSON instead of text")


def main(args: argparse.Namespace) -> int:
    """Measure and remember; return the exit code."""
    if args.forget:
        print("removed" if tuned.forget() else "there were no plans")
        return 0
    found: dict[str, Tuned] = {}
    for model in args.models:
        info = zoo.chosen(model, args.scale)
        if info.format == "interpolation":
            raise OptionError(f"{model} is an interpolation: there is nothing to tune")
        plan = measured(info, args.seconds, exact=args.exact)
        found[info.name] = plan
        tuned.remember({tuned.key(info, args.exact): plan})
        if not args.json:
            how = f"tiles of {plan.tile} pixels" if plan.tile else "the rules are best"
            several = f", {plan.workers} at a time" if plan.tile else ""
            print(f"{info.name}: {how}{several}: {plan.gain:.2f} times as fast as by the rules")
    if args.json:
        print(json.dumps({name: vars(plan) for name, plan in found.items()}, indent=2))
    return 0


def plans(count: int) -> list[Tuned]:
    """Return all that may be chosen where OpenCV has ``count`` threads.

    The engine and Winograd are left to the rules: measured for seven networks of 12 to 64 channels on 4.14 and 5.0,
    direct convolutions had 0.42 to 0.85 of the speed, and the new engine 0.45 to 0.74.
    """
    return [Tuned(side, workers) for side in SIDES for workers in sorted({1, count})]


def measured(info: ModelInfo, seconds: float, *, exact: bool = False) -> Tuned:
    """Return the fastest plan for a model; one of tile 0, which stands for the rules, where none is worth keeping."""
    image = picture(*_SIZE, 3)
    count = threads.count()
    candidates = plans(count)
    rules = Upscaler(info, info.scale, exact=exact, tuned=False)
    running = {Tuned(0, count): rules} | {
        plan: Upscaler(info, info.scale, exact=exact, tile=plan.tile, threads=plan.workers) for plan in candidates
    }
    times: dict[Tuned, list[float]] = {plan: [] for plan in running}
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
    reference = times[Tuned(0, count)]

    def gain(plan: Tuned) -> float:
        return statistics.median(before / after for before, after in zip(reference, times[plan], strict=True))

    best = max(candidates, key=gain)
    return Tuned(best.tile, best.workers, round(gain(best), 2)) if gain(best) >= _WORTH else Tuned(0, count)
