"""Show an enlarged camera image and the frame rate; Esc quits. Without a camera, it prints an error and quits."""

import sys
import time

import cv2

import cvsr
from cvsr import video

upscaler = cvsr.Upscaler("cvsr-small", 2)
camera = int(sys.argv[1]) if len(sys.argv) > 1 else 0
since = time.monotonic()
try:
    for number, large in enumerate(video.frames(camera, upscaler), 1):
        speed = f"{number / (time.monotonic() - since):.1f} frames/s"
        cv2.putText(large, speed, (10, 30), cv2.FONT_HERSHEY_SIMPLEX, 1, (0, 255, 0), 2)
        cv2.imshow("cvsr", large)
        if cv2.waitKey(1) == 27:
            break
except cvsr.FileError as error:  # no such camera
    print(error)
except cv2.error:  # an opencv-*-headless wheel
    print("this OpenCV cannot show windows: install opencv-contrib-python instead of the headless package")
