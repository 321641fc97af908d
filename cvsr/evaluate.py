"""Measure models on a folder of images: shrink each image, upscale it again, compare with the original.

Two protocols give different numbers for the same model:

``literature``
    The image is cropped to a multiple of the scale and shrunk by the antialiased bicubic of MATLAB and Pillow, in
    color, to 8 bits. PSNR and SSIM compare the luma of the 8-bit results (`studio_luma`), less ``scale`` border pixels.
``opencv``
    As in the benchmark of OpenCV's dnn_superres: cropped likewise, shrunk by ``cv2.resize`` with INTER_LINEAR, which
    does not antialias; ``cv2.PSNR`` of BGR including the border; SSIM as in its quality module, averaged over channels.
"""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cvsr._cv2 import cv2
from cvsr.errors import FileError, ImageError, OptionError
from cvsr.image import Image, metrics
from cvsr.image.resample import resize, to_uint8
from cvsr.io import encoder, formats, reader

PROTOCOLS = ("literature", "opencv")


@dataclass(frozen=True)
class ImageScore:
    """One image's PSNR in dB (infinity if nothing differs), SSIM (0..1) and seconds of upscaling."""

    name: str
    psnr: float
    ssim: float
    seconds: float


@dataclass(frozen=True)
class ModelScore:
    """The scores of one model at one scale on one folder."""

    model: str
    scale: int
    dataset: str
    protocol: str
    images: tuple[ImageScore, ...]

    @property
    def psnr(self) -> float:
        """The mean of the images' PSNR, in dB."""
        return statistics.fmean(image.psnr for image in self.images)

    @property
    def ssim(self) -> float:
        """The mean of the images' SSIM."""
        return statistics.fmean(image.ssim for image in self.images)

    @property
    def seconds(self) -> float:
        """The seconds spent in the upscaler, over all images."""
        return math.fsum(image.seconds for image in self.images)


def list_images(folder: Path) -> list[Path]:
    """Return the image files directly in ``folder``, sorted by name. Raise FileError if there are none."""
    if not folder.is_dir():
        raise FileError(f"{folder} is not a folder: name a folder of images, such as Set5.")
    suffixes = formats.evaluated_suffixes()
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)
    if not paths:
        raise FileError(f"no images directly in {folder} ({', '.join(sorted(suffixes))}): name another folder.")
    return paths


def read_image(path: Path) -> Image:
    """Return an image file as 8-bit gray (H, W) or BGR (H, W, 3); ``FileError`` if OpenCV cannot read it."""
    try:
        # not cv2.imread: on Windows it cannot open paths beyond the local code page
        data = np.fromfile(path, np.uint8)
        format = formats.sniff(memoryview(data.data))
        opencv = format is None or format.decode is None
        image = cv2.imdecode(data, cv2.IMREAD_ANYCOLOR) if opencv else _decoded(data, path)
    except (cv2.error, OSError) as error:
        raise FileError(f"{path} cannot be read: {error}. Repair or remove it.") from error
    if image is None:
        raise FileError(f"{path} is not an image that this OpenCV can read: repair, convert or remove it.")
    return image


def _decoded(data: Image, path: Path) -> Image:
    """Return an image in a format that OpenCV does not read as `read_image` does."""
    image = encoder.convert(reader.decode(data, str(path)).image, np.dtype(np.uint8))
    return image if image.ndim == 2 else np.ascontiguousarray(image[..., :3])


def degrade(image: Image, scale: int, protocol: str = "literature") -> tuple[Image, Image]:
    """Return (original, low resolution): the 8-bit image cropped to a multiple of ``scale``, and the same reduced.

    ``OptionError`` for an unknown protocol or a scale below 1, ``ImageError`` if the image is smaller than ``scale``.
    """
    check_options(scale, protocol)
    height, width = (n - n % scale for n in image.shape[:2])
    if not height or not width:
        raise ImageError(f"{image.shape[1]}x{image.shape[0]} pixels cannot be reduced by {scale}: use a larger image")
    original = np.ascontiguousarray(image[:height, :width])
    size = (width // scale, height // scale)
    if protocol == "opencv":
        return original, cv2.resize(original, size, interpolation=cv2.INTER_LINEAR)
    return original, np.ascontiguousarray(to_uint8(resize(original, size)))


def compare(original: Image, upscaled: Image, scale: int, protocol: str = "literature") -> tuple[float, float]:
    """Return (PSNR in dB, SSIM) of an 8-bit result against the original of the same shape, by the protocol's rules."""
    check_options(scale, protocol)
    if original.shape != upscaled.shape:
        raise ImageError(f"the result is {upscaled.shape} and the original {original.shape}: is the scale {scale}?")
    if protocol == "opencv":
        psnr = cv2.PSNR(original, upscaled) if (original != upscaled).any() else math.inf
        return float(psnr), metrics.ssim(original, upscaled, valid=False)
    first, second = (metrics.crop_border(metrics.studio_luma(image), scale) for image in (original, upscaled))
    return metrics.psnr(first, second), metrics.ssim(first, second)


def evaluate(
    upscaler: Callable[[Any], Any],
    folder: str | Path,
    scale: int,
    protocol: str = "literature",
    *,
    name: str | None = None,
    progress: Callable[[ImageScore], None] | None = None,
) -> ModelScore:
    """Measure ``upscaler`` on the images directly in ``folder``.

    ``upscaler`` is a `cvsr.Upscaler` or any callable that takes an 8-bit gray (H, W) or BGR (H, W, 3) image and returns
    one ``scale`` times larger. ``name`` is the model's name in the result, by default the upscaler's. ``progress`` is
    called with each image's score. Raises what `list_images`, `read_image`, `degrade` and the upscaler raise.
    """
    check_options(scale, protocol)
    folder = Path(folder)
    scores: list[ImageScore] = []
    for path in list_images(folder):
        original, small = degrade(read_image(path), scale, protocol)
        start = time.perf_counter()
        upscaled = upscaler(small)
        seconds = time.perf_counter() - start
        score = ImageScore(path.name, *compare(original, upscaled, scale, protocol), seconds)
        scores.append(score)
        if progress is not None:
            progress(score)
    known = getattr(getattr(upscaler, "info", None), "name", None)
    name = name or known or getattr(upscaler, "__name__", type(upscaler).__name__)
    return ModelScore(str(name), scale, folder.resolve().name, protocol, tuple(scores))


def check_options(scale: int, protocol: str) -> None:
    """Raise OptionError unless the scale and the protocol are valid."""
    if protocol not in PROTOCOLS:
        raise OptionError(f"unknown protocol {protocol!r}: use {' or '.join(PROTOCOLS)}")
    if scale < 1:
        raise OptionError(f"invalid scale {scale}: use a whole number above 0, such as 2")
