"""A preview before hours of work: a few seconds, the left half by plain interpolation, the right half by the model."""

from fractions import Fraction

from cvsr.image import Image
from cvsr.upscaler import Upscaler
from cvsr.video.source import Step

SECONDS = Fraction(3)


def span(start: Fraction | None, end: Fraction | None, duration: Fraction) -> tuple[Fraction, Fraction]:
    """Return (start, end) of the seconds to show: from ``start``, else from the middle of the film."""
    begin = max(Fraction(0), (duration - SECONDS) / 2) if start is None else start
    return begin, begin + SECONDS if end is None else min(end, begin + SECONDS)


def split(step: Step, upscaler: Upscaler) -> Step:
    """Return a step with bicubic interpolation in the left half, up to a white line."""
    plain = Upscaler("bicubic", upscaler.scale)

    def both(image: Image) -> Image:
        large = step(image)
        middle = large.shape[1] // 2
        large[:, :middle] = plain(image)[:, :middle]
        large[:, middle - 1 : middle + 1] = (1 << 8 * image.itemsize) - 1
        return large

    return both
