"""Make the picture in the README: a photo, reduced and then enlarged by bicubic interpolation and by cvsr."""

import cv2
import numpy as np
from skimage import data

import cvsr
from cvsr.image import metrics, resample

SCALE, TOP, LEFT, SIDE = 3, 75, 165, 126

original = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR)[:510, :510]
small = resample.to_uint8(resample.resize(original, (510 // SCALE, 510 // SCALE)))
pictures = {
    "input": cv2.resize(small, (510, 510), interpolation=cv2.INTER_NEAREST),
    "bicubic": cvsr.upscale(small, SCALE, model="bicubic"),
    "cvsr-medium": cvsr.upscale(small, SCALE, model="cvsr-medium"),
    "original": original,
}
columns = []
for name, picture in pictures.items():
    luma = [metrics.crop_border(metrics.studio_luma(image), SCALE) for image in (picture, original)]
    quality = "" if name == "original" else f" {metrics.psnr(*luma):.2f} dB"
    crop = cv2.resize(
        picture[TOP : TOP + SIDE, LEFT : LEFT + SIDE], None, fx=2.5, fy=2.5, interpolation=cv2.INTER_NEAREST
    )
    label = np.full((28, crop.shape[1], 3), 255, np.uint8)
    cv2.putText(label, name + quality, (4, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    columns.append(np.vstack([label, crop]))
cv2.imwrite("before_after.png", np.hstack(columns))
print("before_after.png")
