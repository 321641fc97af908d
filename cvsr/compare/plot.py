"""Plot a comparison as a row of crops, for papers and notebooks. Needs matplotlib (the extra ``plot``)."""

import importlib
import io
from functools import partial
from typing import Any

from cvsr._cv2 import cv2
from cvsr.compare.comparison import CROP, Comparison
from cvsr.compare.page import label
from cvsr.errors import OptionError, install_hint
from cvsr.image import Image


def figure(comparison: Comparison, side: int = CROP) -> Any:
    """Return a matplotlib figure: the crop of ``side`` pixels around the focus, from every result.

    Its titles are the names, with the PSNR if it was measured. Notebooks display it; pyplot's state is not touched.
    Raises OptionError if matplotlib is missing.
    """
    try:
        matplotlib: Any = importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise OptionError(f"a plot needs matplotlib ({error}): {install_hint('plot')}") from error
    count = len(comparison.shown)
    made = matplotlib.Figure(figsize=(2.4 * count, 2.8), dpi=200, layout="constrained")
    for axes, shown in zip(made.subplots(1, count, squeeze=False)[0], comparison.shown, strict=True):
        axes.imshow(_rgb(crop(shown.image, comparison.focus, side)), interpolation="nearest")
        axes.set_title(f"{shown.name}\n{label(shown)}".rstrip(), fontsize=9)
        axes.set_axis_off()
    made._repr_png_ = partial(_png, made)  # for notebooks, which display only pyplot's figures by themselves
    return made


def _png(made: Any) -> bytes:
    data = io.BytesIO()
    made.savefig(data, format="png")
    return data.getvalue()


def crop(image: Image, focus: tuple[int, int], side: int) -> Image:
    """Return the ``side`` x ``side`` pixels around ``focus`` = (x, y), moved inside; fewer if the image is smaller."""
    (height, width), (x, y) = image.shape[:2], focus
    left = min(max(x - side // 2, 0), max(0, width - side))
    top = min(max(y - side // 2, 0), max(0, height - side))
    return image[top : top + side, left : left + side]


def _rgb(image: Image) -> Image:
    if image.ndim == 2:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB if image.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
