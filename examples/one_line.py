"""One extra line in a cv2 script: cvsr.upscale instead of cv2.resize."""

import cv2
from skimage import data

import cvsr

image = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR)  # or cv2.imread("photo.jpg")

before = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
after = cvsr.upscale(image, 2)

cv2.imwrite("before.png", before)
cv2.imwrite("after.png", after)
print(f"{image.shape[1]}x{image.shape[0]} -> {after.shape[1]}x{after.shape[0]}")
