"""Enlarge a folder with a progress bar: one Upscaler for all images, limited memory, can be stopped between tiles.

`cvsr upscale photos -o large` does the same; this is for scripts that do something else as well.
"""

import time
from pathlib import Path

import cv2
from skimage import data

import cvsr

source, target = Path("photos"), Path("large")
for folder in (source, target):
    folder.mkdir(exist_ok=True)
for name in ("astronaut", "chelsea", "coffee"):  # stand in for your photos
    cv2.imwrite(f"{source / name}.png", cv2.cvtColor(getattr(data, name)(), cv2.COLOR_RGB2BGR))

upscaler = cvsr.Upscaler("cvsr-small", scale=3, device="auto", max_memory="256M")
upscaler.warmup()
print(upscaler.ran_on)

paths, deadline = sorted(source.glob("*.png")), time.monotonic() + 600
for number, path in enumerate(paths):

    def draw(step, before=number, label=path.name):
        share = (before + step.done / step.total) / len(paths)
        print(f"\r[{'#' * round(40 * share):<40}] {share:4.0%} {label:<20}", end="", flush=True)

    large = upscaler(cv2.imread(str(path)), progress=draw, cancel=lambda: time.monotonic() > deadline)
    cv2.imwrite(str(target / path.name), large)
print(f"\n{len(paths)} images in {target}")
