"""How a photo becomes small: what a network learns to undo.

Each takes (image, scale, random): BGR uint8 (H, W, 3) with sides that are multiples of ``scale``, and a Generator of
numpy's; and returns uint8 (H / scale, W / scale, 3).
"""

import cv2
import numpy as np

from cvsr.image import resample


def bicubic(image, scale, random):
    """Reduce by antialiased bicubic interpolation, as the literature does (MATLAB's imresize)."""
    return resample.to_uint8(resample.resize(image, _small(image, scale)))


def linear(image, scale, random):
    """Reduce by ``cv2.resize`` as it is, bilinear without antialiasing: the protocol of OpenCV's own benchmark."""
    return cv2.resize(image, _small(image, scale), interpolation=cv2.INTER_LINEAR)


def real(image, scale, random):
    """Reduce as phones and the web do: blur at times, any resize, noise at times, JPEG mostly.

    After Zhang et al. 2021, "Designing a Practical Degradation Model" (BSRGAN), and Wang et al. 2021, Real-ESRGAN: one
    round of it, and mild.
    """
    if random.random() < 0.5:
        sigma = random.uniform(0.2, 0.5 * scale)
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    ways = (bicubic, linear, *(_by(method) for method in (cv2.INTER_AREA, cv2.INTER_CUBIC)))
    small = ways[random.integers(len(ways))](image, scale, random)
    if random.random() < 0.4:
        gray = random.random() < 0.5  # of the sensor's light, or of each color alone
        noise = random.normal(0, random.uniform(0.5, 5), (*small.shape[:2], 1 if gray else 3))
        small = np.clip(np.rint(small + noise), 0, 255).astype(np.uint8)
    if random.random() < 0.8:
        quality = int(random.integers(50, 96))
        small = cv2.imdecode(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    return small


def _small(image, scale):
    return image.shape[1] // scale, image.shape[0] // scale


def _by(method):
    return lambda image, scale, random: cv2.resize(image, _small(image, scale), interpolation=method)


DEGRADATIONS = {"bicubic": bicubic, "opencv-linear": linear, "real": real}
RANDOM = {"real"}  # those that differ each time: of these an image is prepared several times
VARIANTS = 4
