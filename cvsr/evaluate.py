"""Measure models on a folder of images: shrink each image, upscale it again, compare with the original.

Two protocols, which give different numbers for the same model:

``literature``
    The image is cropped to a multiple of the scale and shrunk by the antialiased bicubic of MATLAB and Pillow, in
    color, to 8 bits. PSNR and SSIM compare the luma (`cvsr.metrics.studio_luma`) of the 8-bit results, less a border of
    ``scale`` pixels.
``opencv``
    As in the benchmark of OpenCV's dnn_superres: cropped alike, shrunk by plain ``cv2.resize`` with INTER_LINEAR, which
    does not antialias; ``cv2.PSNR`` over BGR with no border; SSIM as its quality module has it, averaged over channels.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cvsr import metrics
from cvsr._cv2 import cv2
from cvsr.errors import FileError, ImageError, OptionError
from cvsr.model import open_model
from cvsr.resample import Array, resize, to_uint8
from cvsr.upscaler import Upscaler

PROTOCOLS = ("literature", "opencv")
_EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm"})
_ROW = "{:<16}  {:>5}  {:<18}  {:>6}  {:>6}  {:>6}  {:>7}"


class Upscaling(Protocol):
    """What `evaluate` needs of an upscaler: called with an 8-bit image, it gives a larger one of the same kind."""

    def __call__(self, image: Any, /) -> Any:
        """Return the image upscaled."""
        ...


@dataclass(frozen=True)
class ImageScore:
    """One image's PSNR in dB (infinity where nothing differs), SSIM (0..1) and seconds of upscaling."""

    name: str
    psnr: float
    ssim: float
    seconds: float


@dataclass(frozen=True)
class Result:
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
    """Return the image files directly in ``folder``, sorted by name; ``FileError`` if it is no folder or holds none."""
    if not folder.is_dir():
        raise FileError(f"{folder} is no folder: name a folder of images, such as Set5.")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _EXTENSIONS)
    if not paths:
        raise FileError(f"{folder} directly holds no image ({', '.join(sorted(_EXTENSIONS))}): name another folder.")
    return paths


def read_image(path: Path) -> Array:
    """Return an image file as 8-bit gray (H, W) or BGR (H, W, 3); ``FileError`` if OpenCV cannot read it."""
    try:
        # not cv2.imread: on Windows it cannot open paths beyond the local code page
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_ANYCOLOR)
    except (cv2.error, OSError) as error:
        raise FileError(f"{path} cannot be read: {error}. Repair or remove it.") from error
    if image is None:
        raise FileError(f"{path} is no image that this OpenCV reads: repair, convert or remove it.")
    return image


def degrade(image: Array, scale: int, protocol: str = "literature") -> tuple[Array, Array]:
    """Return (original, low resolution): the 8-bit image cropped to a multiple of ``scale``, and that shrunk.

    ``OptionError`` for an unknown protocol or a scale below 1, ``ImageError`` if the image is smaller than ``scale``.
    """
    _check_options(scale, protocol)
    height, width = (n - n % scale for n in image.shape[:2])
    if not height or not width:
        raise ImageError(f"{image.shape[1]}x{image.shape[0]} pixels cannot be shrunk by {scale}: use a larger image.")
    original = np.ascontiguousarray(image[:height, :width])
    size = (width // scale, height // scale)
    if protocol == "opencv":
        return original, cv2.resize(original, size, interpolation=cv2.INTER_LINEAR)
    return original, np.ascontiguousarray(to_uint8(resize(original, size)))


def compare(original: Array, upscaled: Array, scale: int, protocol: str = "literature") -> tuple[float, float]:
    """Return (PSNR in dB, SSIM) of an 8-bit result against the original of the same shape, by the protocol's rules."""
    _check_options(scale, protocol)
    if original.shape != upscaled.shape:
        raise ImageError(f"The result is {upscaled.shape} and the original {original.shape}: is the scale {scale}?")
    if protocol == "opencv":
        psnr = cv2.PSNR(original, upscaled) if (original != upscaled).any() else math.inf
        return float(psnr), metrics.ssim(original, upscaled, valid=False)
    first, second = (metrics.crop_border(metrics.studio_luma(image), scale) for image in (original, upscaled))
    return metrics.psnr(first, second), metrics.ssim(first, second)


def evaluate(
    upscaler: Upscaling,
    folder: str | Path,
    scale: int,
    protocol: str = "literature",
    *,
    name: str | None = None,
    progress: Callable[[ImageScore], None] | None = None,
) -> Result:
    """Measure ``upscaler`` on the images directly in ``folder``.

    ``upscaler`` is a `cvsr.Upscaler` or any callable that takes an 8-bit gray (H, W) or BGR (H, W, 3) image and gives
    one ``scale`` times larger. ``name`` is what the result calls the model; by default what the upscaler calls it.
    ``progress`` is called with each image's score. Errors: as `list_images`, `read_image`, `degrade`, the upscaler.
    """
    _check_options(scale, protocol)
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
    return Result(name or _name(upscaler), scale, folder.resolve().name, protocol, tuple(scores))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``cvsr eval``, and what it is for."""
    parser.description = "Shrink images, upscale them, compare."
    add = parser.add_argument
    add("models", nargs="+", metavar="MODEL", help="a bundled model, a model file, or an interpolation such as bicubic")
    add("--data", nargs="+", required=True, type=Path, metavar="FOLDER", help="folders of images, such as Set5")
    add(
        "-s", "--scale", nargs="+", type=int, metavar="SCALE", help="whole scales (default: a model file's own, else 2)"
    )
    add("--protocol", choices=PROTOCOLS, default=PROTOCOLS[0], help="how to shrink and compare (default: literature)")
    add("-d", "--device", default="auto", metavar="DEVICE", help="where to run (default: auto)")
    add("--per-image", action="store_true", help="also show every image")
    add("--json", action="store_true", help="print JSON instead of a table")


def main(args: argparse.Namespace) -> int:
    """Run ``cvsr eval`` on parsed arguments, write to stdout, return the exit code; raise what went wrong."""
    for folder in args.data:
        list_images(folder)  # a wrong folder is said before minutes of work, not after
    results = _run_all(args.models, args.scale, args.data, args.protocol, args.device)
    if args.json:
        json.dump([to_json(result, per_image=args.per_image) for result in results], sys.stdout, indent=2)
        sys.stdout.write("\n")
        return 0
    for line in table(results, per_image=args.per_image):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    return 0


def to_json(result: Result, *, per_image: bool = False) -> dict[str, Any]:
    """Return a result as JSON takes it (an infinite PSNR becomes None), with every image's score if ``per_image``."""
    fields: dict[str, Any] = {
        "model": result.model,
        "scale": result.scale,
        "dataset": result.dataset,
        "protocol": result.protocol,
        "psnr": _finite(result.psnr),
        "ssim": result.ssim,
        "images": len(result.images),
        "seconds": result.seconds,
    }
    if per_image:
        fields["per_image"] = [asdict(image) | {"psnr": _finite(image.psnr)} for image in result.images]
    return fields


def table(results: Iterable[Result], *, per_image: bool = False) -> Iterator[str]:
    """Yield the lines of a table of results, each as soon as its result is there."""
    yield _ROW.format("model", "scale", "dataset", "PSNR", "SSIM", "images", "seconds")
    for result in results:
        for image in result.images if per_image else ():
            yield _row(result, f"  {image.name}", image, 1)
        yield _row(result, result.dataset, result, len(result.images))


def _row(result: Result, dataset: str, score: Result | ImageScore, images: int) -> str:
    psnr, ssim, seconds = f"{score.psnr:.2f}", f"{score.ssim:.4f}", f"{score.seconds:.2f}"
    return _ROW.format(result.model, result.scale, dataset, psnr, ssim, images, seconds)


def _run_all(
    models: list[str], scales: list[int] | None, folders: list[Path], protocol: str, device: str
) -> Iterator[Result]:
    for model in models:
        is_file = Path(model).is_file()
        for scale in scales or [open_model(model).scale if is_file else 2]:
            _check_options(scale, protocol)
            upscaler = Upscaler(model, scale, device=device)
            upscaler.warmup()  # loading and the first forward are no part of the seconds
            name = Path(model).stem if is_file else model
            for folder in folders:
                yield evaluate(upscaler, folder, scale, protocol, name=name)


def _check_options(scale: int, protocol: str) -> None:
    if protocol not in PROTOCOLS:
        raise OptionError(f"There is no protocol {protocol!r}: name one of {', '.join(PROTOCOLS)}.")
    if scale < 1:
        raise OptionError(f"A scale of {scale} does not upscale: name a whole number, such as 2.")


def _name(upscaler: Any) -> str:
    """Return what an upscaler calls its model, else what Python calls the callable."""
    info = getattr(upscaler, "info", None)
    return str(getattr(info, "name", None) or getattr(upscaler, "__name__", type(upscaler).__name__))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
