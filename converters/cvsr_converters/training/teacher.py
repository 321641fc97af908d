"""Learning from another model's results beside the images (Hinton et al. 2015, "Distilling the Knowledge in a Neural
Network").

What was lost when an image was made small cannot be told, and that noise is most of the loss. A model's result is
without it, more so the mean of its results for the image turned and flipped (Timofte et al. 2016, "Seven Ways to
Improve Example-Based Single Image Super Resolution"); what the model cannot do, the image itself has to say.
"""

import functools
from dataclasses import dataclass

import numpy as np

from cvsr import Upscaler
from cvsr.modelfiles import zoo
from cvsr_converters.training.data import turned

TURNS = (0, 3, 5, 6, 1, 2, 4, 7)  # as data.turned numbers them: rotations first
INVERSE = (0, 1, 2, 3, 4, 6, 5, 7)


@dataclass(frozen=True)
class Teacher:
    """A ``model`` as :class:`cvsr.Upscaler` takes it: ``weight`` of its result in each target.

    ``turns``, 1 to 8: of how many of the image's turned and flipped copies the result is the mean.
    """

    model: str
    weight: float = 0.5
    turns: int = 8

    def __post_init__(self):
        if not (0 < self.weight <= 1 and 1 <= self.turns <= len(TURNS)):
            raise ValueError(f"a teacher has a weight of 0 to 1 and 1 to 8 turns, not {self.weight} and {self.turns}")

    def key(self, scale):
        """Return what a cache of its targets depends on. Raises OptionError where the model has not that scale."""
        return [zoo.chosen(self.model, scale).sha256, self.weight, self.turns]

    def blended(self, low, high):
        """Return the target: ``high`` and the teacher's result for ``low``, which is uint8; (H, W, C), luma or RGB."""
        upscale = _upscaler(self.model, high.shape[0] // low.shape[0])
        image = np.float32(low[:, :, ::-1]) / 255
        total = np.zeros_like(high)
        for turn in TURNS[: self.turns]:
            made = np.atleast_3d(upscale(np.ascontiguousarray(turned(image, turn))))
            total += turned(made, INVERSE[turn])
        taught = np.clip(total / self.turns, 0, 1)[:, :, ::-1]
        return (1 - self.weight) * high + self.weight * 255 * taught


@functools.lru_cache
def _upscaler(model, scale):
    return Upscaler(model, scale, tile=256)  # training images are small: most are one tile
