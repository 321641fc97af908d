"""A contestant of the race: a process that enlarges the same image on request and reports the time.

    python -m cvsr.bench.child '{"kind": "cvsr", "model": "cvsr-small", "scale": 2, "size": [640, 360], …}'

It reads one line of JSON from standard input for each turn, and answers with one line of JSON.
"""

import json
import os
import sys
import time
from collections.abc import Callable

import numpy as np

from cvsr import Upscaler
from cvsr._cv2 import cv2
from cvsr.bench import peers
from cvsr.bench.race import Spec
from cvsr.errors import CvsrError
from cvsr.image import Image
from cvsr.machine import peak
from cvsr.modelfiles import zoo

_BLOCK = 256


def picture(width: int, height: int, channels: int) -> Image:
    """Return a fixed test image with detail at all scales, uint8, (H, W) for one channel.

    It is a reflected block, so that making it takes little more memory than the image itself.
    """
    random = np.random.default_rng(0)
    total = np.zeros((_BLOCK, _BLOCK, channels), np.float32)
    for cell in (64, 16, 4, 1):
        side = _BLOCK // cell + 2
        large = cv2.resize(
            random.random((side, side, channels), np.float32), None, fx=cell, fy=cell, interpolation=cv2.INTER_CUBIC
        )
        total += large.reshape(*large.shape[:2], channels)[:_BLOCK, :_BLOCK] * np.float32(cell**0.5)
    total -= total.min()
    block = (total * np.float32(255 / total.max())).astype(np.uint8)[: min(height, _BLOCK), : min(width, _BLOCK)]
    border = (0, height - block.shape[0], 0, width - block.shape[1])
    image: Image = cv2.copyMakeBorder(block, *border, cv2.BORDER_REFLECT)
    return image[:, :, 0] if image.ndim == 3 and channels == 1 else image


def _made(spec: Spec) -> tuple[Callable[[Image], Image], str]:
    """Return the function that enlarges an image, and the version of its runtime."""
    info = zoo.find(spec.model)[spec.scale]
    cv2.setNumThreads(spec.threads)  # this process does nothing else
    if spec.kind == "cvsr":
        return Upscaler(info, spec.scale, exact=spec.exact), f"OpenCV {cv2.__version__}"
    made = peers.contestant(spec.kind, info, spec.threads)
    module = sys.modules.get(spec.kind, cv2)
    return made, str(getattr(module, "__version__", ""))


def main() -> None:
    """Run the contestant that the first argument describes until standard input ends."""
    spec = Spec(**json.loads(sys.argv[1]))
    # libraries print to stdout: keep a separate file descriptor for the answers
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(**facts: object) -> None:
        answers.write(json.dumps(facts) + "\n")
        answers.flush()

    try:
        image = picture(*spec.size, 1 if spec.what == "gray" else 3)
        run, version = _made(spec)
        for _ in range(spec.warmup):
            run(image)
    except CvsrError as error:
        return answer(error=str(error))
    answer(version=version)
    for _ in sys.stdin:
        began, used = time.perf_counter(), time.process_time()
        result = run(image)
        seconds, processor = time.perf_counter() - began, time.process_time() - used
        del result
        answer(seconds=seconds, processor=processor, peak=peak())
    return None


if __name__ == "__main__":
    main()
