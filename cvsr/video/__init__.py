"""Video: ``frames`` gives the frames of a film, a camera or a list enlarged; ``cvsr video`` writes whole films.

>>> import cvsr
>>> from cvsr import video
>>> for frame in video.frames("film.mp4", cvsr.Upscaler("cvsr-small", 2)):
...     cv2.imshow("large", frame)
"""

from cvsr.video.source import frames

__all__ = ["frames"]
