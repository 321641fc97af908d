"""Enlarge the frames of a film in your own script, process each, and write them. PyAV is not needed.

``cvsr video IN OUT`` does more: it keeps sound, subtitles, timing and colors, and can resume after a crash.
"""

import cv2
from skimage import data

import cvsr
from cvsr import video

# stands in for a film: the camera moves over a photo
photo = cv2.cvtColor(data.coffee(), cv2.COLOR_RGB2BGR)
film = [photo[i : i + 180, 2 * i : 2 * i + 320] for i in range(24)]  # or a path: film = "film.mp4"

upscaler = cvsr.Upscaler("cvsr-small", 2)
writer = None
for number, large in enumerate(video.frames(film, upscaler)):
    if writer is None:
        height, width = large.shape[:2]
        writer = cv2.VideoWriter("large.avi", cv2.VideoWriter.fourcc(*"MJPG"), 24, (width, height))
    cv2.putText(large, f"frame {number}", (10, 30), cv2.FONT_HERSHEY_SIMPLEX, 1, (255, 255, 255), 2)
    writer.write(large)
writer.release()
print(f"large.avi: {number + 1} frames of {width}x{height}")
