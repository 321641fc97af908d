"""The facts about a network that the runtime needs, as all steps pass them on; unknown facts are None."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from cvsr.modelfiles.info import Chroma, Color, Inputs, Skip, Tail


@dataclass(frozen=True)
class Facts:
    """The facts in a model file's metadata, named as the fields of :class:`cvsr.ModelInfo`; None if unknown.

    ``radius`` is "global" if the receptive field is the whole image. ``family``: what ``cv2.dnn_superres`` calls the
    network; ``kind``: "standalone" for a file that includes the color conversion.
    """

    name: str | None = None
    scale: int | None = None
    color: Color | None = None
    range: float | None = None
    mean: Sequence[float] | None = None
    inputs: Inputs | None = None
    multiple: int | None = None
    tail: Tail | None = None
    skip: Skip | None = None
    chroma: Chroma | None = None
    radius: int | Literal["global"] | None = None
    parameters: int | None = None
    family: str | None = None
    kind: str | None = None
    license: str | None = None

    def __or__(self, other: Facts) -> Facts:
        """Return these facts, overridden by the known ones of ``other``."""
        return replace(self, **other.known())

    def known(self) -> dict[str, Any]:
        """Return the known facts by name, in the order of the fields."""
        return {key: value for key, value in vars(self).items() if value is not None}


UNKNOWN = Facts()
DEFAULTS = Facts(mean=(), inputs="image", multiple=1, tail="image", skip="none", chroma="bicubic")
