"""The common form of all source formats: a trained network to run, and its graph at any image size."""

from collections.abc import Callable
from dataclasses import dataclass, field

from cvsr_converters.facts import UNKNOWN, Facts


@dataclass(frozen=True)
class Input:
    """One input of a network: its name in the user's model and its number of channels.

    ``factor``: its size relative to the first input, for networks that also read an interpolated image.
    """

    name: str
    channels: int
    factor: int = 1


@dataclass
class Original:
    """A trained network as it was stored; the converted file is traced from it and compared with it.

    ``run(*blobs)`` runs it in its own framework, from float32 (1, C, H, W) arrays, one for each of ``inputs``, to a
    list of such arrays, one for each of ``outputs``. ``graph(size)`` returns its ONNX model for images of exactly
    ``size`` = (H, W), with inputs and outputs in the same order and layout; each node's name (or ``doc_string``) is the
    layer's in the user's model. ``facts`` are what the file or its format states: scale, color, range, mean …
    ``notes`` tell the user what was dropped, replaced or assumed.
    """

    name: str
    inputs: list[Input]
    outputs: list[str]
    run: Callable
    graph: Callable
    facts: Facts = UNKNOWN
    notes: list[str] = field(default_factory=list)
