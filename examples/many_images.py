"""Many images: keep one Upscaler, see what it runs on and how far it is, stop it between tiles."""

import time

import cv2
from skimage import data

import cvsr

upscaler = cvsr.Upscaler("cvsr-small", scale=3, device="auto", max_memory="256M")
upscaler.warmup()
print(upscaler.ran_on)

deadline = time.monotonic() + 60
for name in ("astronaut", "chelsea", "coffee"):
    image = cv2.cvtColor(getattr(data, name)(), cv2.COLOR_RGB2BGR)
    seen = []
    result = upscaler(image, progress=seen.append, cancel=lambda: time.monotonic() > deadline)
    cv2.imwrite(f"{name}_x3.png", result)
    print(name, image.shape, "->", result.shape, f"in {seen[-1].total} tiles")
