"""Nearest, bilinear, bicubic, Lanczos and area interpolation, which can be used like models, for comparison."""

from cvsr._cv2 import cv2
from cvsr.errors import MemoryBudgetError
from cvsr.image import Image

METHODS: dict[str, int] = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
    "area": cv2.INTER_AREA,
}


def resize(image: Image, size: tuple[int, int], method: str) -> Image:
    """Resize an image of any kind to ``size`` = (width, height) by ``cv2.resize``, whole."""
    try:
        return cv2.resize(image, size, interpolation=METHODS[method])
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryBudgetError(
                f"there is not enough memory for a picture of {size[0]}x{size[1]} pixels"
            ) from error
        raise
