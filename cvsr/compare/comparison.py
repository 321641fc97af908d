"""Run several models on one image, and measure the time and, if there is an original, PSNR and SSIM."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cvsr import evaluate
from cvsr._cv2 import cv2
from cvsr.errors import ImageError, OptionError
from cvsr.image import Image
from cvsr.io import encoder
from cvsr.modelfiles import zoo
from cvsr.options import checked_scale
from cvsr.upscaler import Upscaler

BASELINE = "bicubic"
LARGEST = 4 << 20
"""The most pixels of a result: a page of five such images has about 20 MB."""
CROP = 96
"""The side of the enlarged crops, in pixels of the results."""


@dataclass(frozen=True)
class Shown:
    """One result: an 8-bit ``image``, (H, W), BGR or BGRA; dB and 0..1 against the original; seconds of one run."""

    name: str
    image: Image
    psnr: float | None = None
    ssim: float | None = None
    seconds: float | None = None
    parameters: int | None = None
    ran_on: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Return (width, height)."""
        return self.image.shape[1], self.image.shape[0]


@dataclass(frozen=True)
class Comparison:
    """The results. ``shown`` begins with bicubic and ends with the original, if there is one.

    ``input_size``: (width, height) of the image that was enlarged. ``focus``: the (x, y) in the results where the
    models differ most from bicubic. ``notes``: remarks for the reader, such as on cropping.
    """

    title: str
    scale: float
    input_size: tuple[int, int]
    shown: tuple[Shown, ...]
    focus: tuple[int, int]
    notes: tuple[str, ...] = ()


@dataclass
class _Task:
    """The image to enlarge, and the 8-bit original, (H, W) or (H, W, 3), to compare with."""

    image: Image
    original: Image | None = None
    notes: list[str] = field(default_factory=list[str])


def compare(
    image: Image | None,
    models: Sequence[str] = (),
    scale: float = 2,
    *,
    reference: Image | None = None,
    device: str = "auto",
    title: str = "comparison",
) -> Comparison:
    """Enlarge ``image`` by each of ``models`` and by bicubic interpolation, and measure them against ``reference``.

    Images are as for :class:`cvsr.Upscaler`. Without ``image``, the reference is shrunk as ``cvsr eval`` does, and
    enlarged again. PSNR and SSIM follow the protocol of the literature (:mod:`cvsr.evaluate`). Images too large for a
    page are cropped to the part with the most detail, with a note. ``models`` defaults to all bundled ones of a scale.

    Raises OptionError, ImageError if image and reference do not match, and what Upscaler raises.
    """
    scale = checked_scale(scale)
    task = _task(image, reference, scale)
    wanted = [BASELINE, *(zoo.DEFAULT if model == "auto" else model for model in models or bundled(scale))]
    shown = [_run(model, task, scale, device) for model in dict.fromkeys(wanted)]
    if task.original is not None:
        shown.append(Shown("original", task.original))
    height, width = task.image.shape[:2]
    focus = _focus(shown[0].image, shown[1].image if len(shown) > 1 else None)
    return Comparison(title, scale, (width, height), tuple(shown), focus, tuple(task.notes))


def bundled(scale: float) -> list[str]:
    """Return the bundled families that have a model of ``scale``, or the default one if none has."""
    return [family for family, entries in zoo.families().items() if scale in entries] or [zoo.DEFAULT]


def _run(model: str, task: _Task, scale: float, device: str) -> Shown:
    interpolates = next(iter(zoo.find(model).values())).format == "interpolation"
    upscaler = Upscaler(model, scale, device="auto" if interpolates else device)
    upscaler.warmup()  # loading and the first forward are not timed
    start = time.perf_counter()
    result = upscaler(task.image)
    seconds = time.perf_counter() - start
    ran = upscaler.ran_on
    engine = "" if interpolates else f", {ran.engine} engine, {ran.threads} threads"
    image = _eight_bits(result)
    psnr = ssim = None
    if task.original is not None:
        psnr, ssim = evaluate.compare(*_alike(task.original, image), math.ceil(scale))
    name = Path(model).stem if Path(model).is_file() else model
    where = f"{ran.device}, OpenCV {ran.opencv}{engine}"
    return Shown(name, image, psnr, ssim, seconds, upscaler.info.parameters, where)


def _task(image: Image | None, reference: Image | None, scale: float) -> _Task:
    if reference is not None:
        reference = _opaque(_eight_bits(reference))
    if image is None:
        if reference is None:
            raise OptionError("nothing to compare: pass an image, a reference to shrink, or both")
        return _shrunk(reference, scale)
    task = _Task(image, reference)
    if reference is not None:
        _fit_reference(task, reference, scale)
    _crop(task, scale)
    if image.dtype != np.uint8:
        task.notes.append(f"The image is {image.dtype.name}; results are shown and compared in 8 bits.")
    return task


def _shrunk(reference: Image, scale: float) -> _Task:
    """Return the task for a reference alone."""
    whole = int(scale)
    if whole != scale:
        raise OptionError(f"a reference can only be shrunk by whole numbers, not by {scale:g}: pass -s 2, 3 or 4")
    reference, notes = _cropped(reference, LARGEST, whole)
    original, image = evaluate.degrade(reference, whole)
    notes.append(f"The original was shrunk by {whole} (antialiased bicubic, as in the literature) and enlarged again.")
    return _Task(image, original, notes)


def _fit_reference(task: _Task, reference: Image, scale: float) -> None:
    """Crop a reference to the size of the results: shrinking may have dropped less than a pixel of the image."""
    (height, width), (tall, wide) = task.image.shape[:2], reference.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if not (0 <= wide - size[0] < max(1, scale) and 0 <= tall - size[1] < max(1, scale)):
        raise ImageError(
            f"the image is {width}x{height}, so the results are {size[0]}x{size[1]}, and the reference is "
            f"{wide}x{tall}: pass the scale with -s, or only the reference to have it shrunk"
        )
    task.original = np.ascontiguousarray(reference[: size[1], : size[0]])


def _crop(task: _Task, scale: float) -> None:
    """Crop image and original to what fits on a page."""
    pixels = round(LARGEST / scale**2)
    if task.image.shape[0] * task.image.shape[1] <= pixels:
        return
    if task.original is not None and scale != int(scale):
        raise OptionError("the image is too large to compare with a reference at a fractional scale: crop both")
    x, y, width, height = _window(task.image, pixels, 1)
    task.notes.append(_crop_note(task.image, (x, y, width, height)))
    task.image = np.ascontiguousarray(task.image[y : y + height, x : x + width])
    if task.original is not None:
        x, y, width, height = (int(scale) * n for n in (x, y, width, height))
        task.original = np.ascontiguousarray(task.original[y : y + height, x : x + width])


def _cropped(image: Image, pixels: int, multiple: int) -> tuple[Image, list[str]]:
    if image.shape[0] * image.shape[1] <= pixels:
        return image, []
    x, y, width, height = window = _window(image, pixels, multiple)
    return np.ascontiguousarray(image[y : y + height, x : x + width]), [_crop_note(image, window)]


def _crop_note(image: Image, window: tuple[int, int, int, int]) -> str:
    x, y, width, height = window
    return (
        f"The image, {image.shape[1]}x{image.shape[0]}, is too large for a page: only the {width}x{height} pixels "
        f"at ({x}, {y}), which have the most detail, are compared."
    )


def _window(image: Image, pixels: int, multiple: int) -> tuple[int, int, int, int]:
    """Return the (x, y, width, height) of the window with the most detail, in the image's proportions."""
    height, width = image.shape[:2]
    factor = math.sqrt(pixels / (height * width))
    wide, tall = (max(multiple, min(n, int(n * factor)) // multiple * multiple) for n in (width, height))
    gray = _gray(_eight_bits(image))
    x, y = _strongest(np.abs(cv2.Laplacian(gray, cv2.CV_32F)), (wide, tall))
    return x // multiple * multiple, y // multiple * multiple, wide, tall


def _focus(baseline: Image, other: Image | None) -> tuple[int, int]:
    """Return the center of the crop where two results differ most or, for one result, that has the most detail."""
    first = _gray(baseline)
    strength = np.abs(cv2.Laplacian(first, cv2.CV_32F)) if other is None else cv2.absdiff(first, _gray(other))
    side = min(CROP, *first.shape)
    x, y = _strongest(strength, (side, side))
    return x + side // 2, y + side // 2


def _strongest(strength: Image, size: tuple[int, int]) -> tuple[int, int]:
    """Return the top left corner of the window of ``size`` = (width, height) with the largest mean."""
    wide, tall = size
    mean = cv2.boxFilter(strength.astype(np.float32), -1, (wide, tall), anchor=(0, 0), borderType=cv2.BORDER_REPLICATE)
    inside = mean[: strength.shape[0] - tall + 1, : strength.shape[1] - wide + 1]
    y, x = np.unravel_index(int(np.argmax(inside)), inside.shape)
    return int(x), int(y)


def _eight_bits(image: Image) -> Image:
    image = image.reshape(image.shape[:2]) if image.shape[2:] == (1,) else image
    return np.ascontiguousarray(encoder.convert(image, np.dtype(np.uint8)))


def _opaque(image: Image) -> Image:
    return np.ascontiguousarray(image[:, :, :3]) if image.ndim == 3 else image


def _gray(image: Image) -> Image:
    return image if image.ndim == 2 else cv2.cvtColor(_opaque(image), cv2.COLOR_BGR2GRAY)


def _alike(original: Image, image: Image) -> tuple[Image, Image]:
    """Return both without alpha, and both in color if one is."""
    image = _opaque(image)
    if original.ndim == image.ndim:
        return original, image
    first, second = (cv2.cvtColor(i, cv2.COLOR_GRAY2BGR) if i.ndim == 2 else i for i in (original, image))
    return first, second
