"""Upscale a photo under every plan that ``cvsr tune`` may choose, and say which of the results differ from the whole.

Run by the conformance suite as ``python plans_child.py PHOTO.npy``, with CVSR_CACHE naming a folder of its own.
"""

from __future__ import annotations

import json
import sys

import numpy as np

import cvsr
from cvsr.bench import tune
from cvsr.inference import saved_plans
from cvsr.modelfiles import zoo
from cvsr.opencv import threads

MODELS = ("cvsr-small", "fsrcnn")


def main(photo: str) -> None:
    """Print as JSON: the plans that ran, as they describe themselves, and the largest difference of each."""
    image, differences = np.load(photo), {}
    for model in MODELS:
        info = zoo.find(model)[2]
        for exact in (True, False):
            saved_plans.forget()
            whole = cvsr.Upscaler(info, 2, device="cpu", exact=exact, tile=0)(image).astype(int)
            for plan in tune.plans(threads.count()):
                saved_plans.remember({saved_plans.key(info, exact): plan})
                upscaler = cvsr.Upscaler(info, 2, device="cpu", exact=exact)
                worst = np.abs(upscaler(image) - whole).max()
                name = f"{model}/{'exact' if exact else 'fast'}/{plan.tile}/{plan.workers}/{upscaler.ran_on.plan}"
                differences[name] = int(worst)
    print(json.dumps({"threads": threads.count(), "differences": differences}))


if __name__ == "__main__":
    main(sys.argv[1])
