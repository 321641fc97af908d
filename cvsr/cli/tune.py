"""The verb ``cvsr tune``: measure which tiles and threads are fastest for a model on this machine, and save them."""

import argparse
import json

from cvsr.bench.tune import measured
from cvsr.errors import OptionError
from cvsr.inference import saved_plans
from cvsr.inference.saved_plans import SavedPlan
from cvsr.modelfiles import zoo

DESCRIPTION = "Measure for a few seconds which tiles and threads are fastest on this machine; save them."
EPILOG = """examples:
  cvsr tune                      the models that come with cvsr, at x2
  cvsr tune FSRCNN_x2.pb         your own file
  cvsr tune --forget             return to the defaults
Plans are saved in the folder that the environment variable CVSR_CACHE names, else
in the user's cache. They change the speed, and with exact=True no bit of a result;
without it, like any other tiles, at most one step of 8 bits.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``cvsr tune``."""
    add = parser.add_argument
    add("models", nargs="*", default=["cvsr-small", "cvsr-medium"], metavar="MODEL", help="names or files")
    add("-s", "--scale", type=int, help="for models that have several scales; default 2, or the file's own")
    add("--seconds", type=float, default=6, help="time to measure each model; default 6")
    add("--exact", action="store_true", help="plan for exact=True, which has its own plans")
    add("--forget", action="store_true", help="remove all saved plans")
    add("--json", action="store_true", help="print JSON instead of text")


def main(args: argparse.Namespace) -> int:
    """Measure and save; return the exit code."""
    if args.forget:
        print("removed" if saved_plans.forget() else "there were no plans")
        return 0
    found: dict[str, SavedPlan] = {}
    for model in args.models:
        info = zoo.chosen(model, args.scale)
        if info.format == "interpolation":
            raise OptionError(f"{model} is an interpolation: there is nothing to tune")
        plan = measured(info, args.seconds, exact=args.exact)
        found[info.name] = plan
        saved_plans.remember({saved_plans.key(info, args.exact): plan})
        if not args.json:
            how = f"tiles of {plan.tile} pixels" if plan.tile else "the rules are best"
            several = f", {plan.workers} at a time" if plan.tile else ""
            print(f"{info.name}: {how}{several}: {plan.gain:.2f} times as fast as by the rules")
    if args.json:
        print(json.dumps({name: vars(plan) for name, plan in found.items()}, indent=2))
    return 0
