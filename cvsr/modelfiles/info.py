"""What a model file says of itself: scale, color, range, tail, receptive field."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import Literal, cast, get_args

from cvsr.errors import ModelError, ModelNotFoundError, OptionError
from cvsr.modelfiles import onnx_reader, superres_files

Color = Literal["luma", "ycrcb", "ycbcr", "rgb", "bgr"]
Tail = Literal["image", "subpixel"]
Skip = Literal["none", "nearest"]
Chroma = Literal["bicubic", "bilinear", "dnn_superres"]
Inputs = Literal["image", "bicubic", "image,bicubic"]
Format = Literal["onnx", "pb", "interpolation"]


@dataclass(frozen=True)
class ModelInfo:
    """The facts of one model.

    ``scale``: output over input size. ``color``: what the network takes: "luma" (one channel, BT.601 full range),
    "ycrcb", "ycbcr", "rgb" or "bgr". ``range``: the value that stands for white, 1 or 255. ``mean``: subtracted from
    each channel of the input and added to the output, in units of ``range``. ``inputs``: what the network reads: the
    "image", the image enlarged by interpolation ("bicubic": SRCNN, VDSR), or both ("image,bicubic": DCSCN).
    ``multiple``: its sides must be multiples of this. ``tail``: the network ends in an "image", or in the scale²
    "subpixel" planes of each channel before the pixel shuffle. ``skip``: what the host adds to the planes: "none", or
    "nearest", the input itself. ``chroma``: how the color beside a luma network, and the image before a network that
    reads it enlarged, are interpolated; "dnn_superres" is bilinear, and rounds 8 bits wherever OpenCV's module does, so
    that pictures are the same. ``radius``: how far, in input pixels, an output pixel sees; None where
    unknown, or where it sees the whole image. ``output``: the name of the output to take, or "" for the only one;
    ``outputs``: those that there are; ``names``: those of the inputs where there are several. ``width``: channels of
    the widest layer. ``algorithm``: what OpenCV's dnn_superres calls it, for files made for that.
    """

    name: str
    scale: int
    format: Format = "onnx"
    color: Color = "luma"
    range: float = 1.0
    mean: tuple[float, ...] = ()
    inputs: Inputs = "image"
    multiple: int = 1
    tail: Tail = "image"
    skip: Skip = "none"
    chroma: Chroma = "bicubic"
    radius: int | None = None
    output: str = ""
    outputs: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    algorithm: str = ""
    path: Path | None = None
    sha256: str = ""
    parameters: int | None = None
    width: int = 64
    ops: tuple[str, ...] = field(default=(), repr=False)

    @property
    def channels(self) -> int:
        """Return how many channels the network takes."""
        return 1 if self.color == "luma" else 3


def read_bytes(path: str | PathLike[str]) -> bytes:
    """Return the bytes of a model file; raise ModelNotFoundError where there is none."""
    try:
        return Path(fspath(path)).read_bytes()
    except OSError as error:
        raise ModelNotFoundError(f"cannot read the model file {fspath(path)}: {error.strerror or error}") from error


def open_model(
    path: str | PathLike[str],
    *,
    scale: int | None = None,
    color: Color | None = None,
    range: float | None = None,
    mean: tuple[float, ...] | None = None,
    inputs: Inputs | None = None,
    tail: Tail | None = None,
    radius: int | None = None,
    algorithm: str | None = None,
) -> ModelInfo:
    """Return the facts of a model file, ``.onnx`` or a frozen TensorFlow ``.pb``.

    They come from the file's metadata (``cvsr.*``), else from its bytes where they are a public model's, else from what
    its name and structure say; keywords override all of that. ``algorithm``: "fsrcnn", "espcn", "lapsrn" or "edsr", for
    the color, range and mean that OpenCV's dnn_superres has for networks of that name.
    Raises ModelNotFoundError, or ModelError that names the keyword to pass where a fact cannot be known.
    """
    keywords = {"scale": scale, "color": color, "range": range, "mean": mean, "inputs": inputs, "tail": tail}
    keywords |= {"radius": radius}
    given: dict[str, object] = {key: value for key, value in keywords.items() if value is not None}
    return completed(read_facts(path), given, algorithm or "")


def completed(told: dict[str, object], given: dict[str, object], algorithm: str = "") -> ModelInfo:
    """Return the facts of a file of which ``told`` is known, with those of an algorithm, and with what is ``given``."""
    facts = told | (_family(algorithm) if algorithm else {}) | given
    try:
        _check(facts)
    except ModelError as error:
        raise ModelError(f"{facts['path']}: {error}") from error
    return ModelInfo(**facts)  # type: ignore[arg-type]


def read_facts(path: str | PathLike[str]) -> dict[str, object]:
    """Return what can be told of a model file, by the fields of ModelInfo; those that are missing must be given.

    Raises ModelNotFoundError, or ModelError where it is none or broken.
    """
    data, file = read_bytes(path), Path(fspath(path))
    if not data:
        raise ModelError(f"{file} is empty")
    try:
        if file.suffix.lower() == ".pb":
            told = pb_facts(file, data)
        elif file.suffix.lower() == ".onnx":
            told = _onnx_facts(file, data)
        else:
            raise ModelError(
                f"cvsr reads .onnx and frozen TensorFlow .pb files; a trained Keras or TensorFlow model becomes one "
                f"with cvsr_converters, but its suffix is {file.suffix!r}"
            )
    except ModelError as error:
        raise ModelError(f"{file}: {error}") from error
    return {"name": file.stem, "sha256": hashlib.sha256(data).hexdigest(), "path": file, **told}


_CHOICES = {"color": Color, "inputs": Inputs, "tail": Tail, "skip": Skip, "chroma": Chroma}


def _check(facts: dict[str, object]) -> None:
    for key, hint in (("scale", "scale=2"), ("color", "color='luma'"), ("range", "range=1")):
        if key not in facts:
            raise ModelError(f"neither metadata nor the name says its {key}: pass it, as in open_model(path, {hint})")
    for key, kind in _CHOICES.items():
        if key in facts and facts[key] not in get_args(kind):
            raise OptionError(f"{key} is {facts[key]!r}: it must be one of {', '.join(get_args(kind))}")
    scale = facts["scale"]
    if not isinstance(scale, int) or not 1 <= scale <= 16:
        raise OptionError(f"scale is {scale!r}: a model's scale is a whole number from 1 to 16")
    if facts["range"] not in (1, 255):
        raise OptionError(f"range is {facts['range']!r}: it must be 1 or 255")
    if not 1 <= cast("int", facts.get("multiple", 1)) <= 64:
        raise OptionError(f"multiple is {facts['multiple']!r}: it must be from 1 to 64")
    mean = cast("tuple[float, ...]", facts.get("mean", ()))
    if mean and len(mean) != (1 if facts["color"] == "luma" else 3):
        raise OptionError(f"mean has {len(mean)} numbers: one for each channel is needed")


def _onnx_facts(file: Path, data: bytes) -> dict[str, object]:
    onnx = onnx_reader.read_onnx(data)
    meta = {k.removeprefix("cvsr."): v for k, v in onnx.metadata.items() if k.startswith("cvsr.")}
    facts: dict[str, object] = {"format": "onnx", "ops": tuple(onnx.ops), "radius": onnx.reach}
    facts |= {"width": onnx.width, "outputs": tuple(name for name, _ in onnx.outputs)}
    if "DepthToSpace" in onnx.ops or "ConvTranspose" in onnx.ops or "Resize" in onnx.ops:
        facts["tail"] = "image"
    if len(onnx.inputs) != 1 + ("," in meta.get("inputs", "")):
        raise ModelError(f"it has {len(onnx.inputs)} inputs: cvsr runs networks with one, unless metadata says more")
    if len(onnx.inputs) > 1:
        facts["names"] = tuple(name for name, _ in onnx.inputs)
    (_, dims), (_, out) = onnx.inputs[0], onnx.outputs[-1]
    if len(dims) == 4 and len(out) == 4 and dims[2] and out[2] and out[2] % dims[2] == 0 and out[2] > dims[2]:
        facts["scale"] = out[2] // dims[2]
    named = re.search(r"[xX](\d)(?!\d)", file.stem)
    if "scale" not in facts and named:
        facts["scale"] = int(named[1])
    if len(dims) == 4 and dims[1] == 1:
        facts["color"] = "luma"
    try:
        facts |= _from_metadata(meta)
    except ValueError as error:
        raise ModelError(f"its metadata is broken: {error}") from error
    return facts


def _from_metadata(meta: dict[str, str]) -> dict[str, object]:
    facts: dict[str, object] = {k: meta[k] for k in ("name", *_CHOICES) if meta.get(k)}
    facts |= {k: int(meta[k]) for k in ("scale", "multiple", "parameters") if meta.get(k)}
    if meta.get("range"):
        facts["range"] = float(meta["range"])
    if meta.get("mean"):
        facts["mean"] = tuple(float(v) for v in meta["mean"].split(","))
    if meta.get("radius"):
        facts["radius"] = None if meta["radius"] == "global" else int(meta["radius"])
    return facts


def _family(algorithm: str) -> dict[str, object]:
    name = algorithm.lower()
    if name not in superres_files.FAMILIES:
        raise OptionError(f"algorithm is {algorithm!r}: dnn_superres has {', '.join(superres_files.FAMILIES)}")
    return {"algorithm": name, **superres_files.FAMILIES[name]}


def pb_facts(file: Path, data: bytes) -> dict[str, object]:
    """Return the facts of a frozen TensorFlow graph: its nodes say some, and who it is where it is dnn_superres's."""
    from cvsr.modelfiles.tensorflow import graphdef  # the import of cvsr is quick: only these files need it

    nodes = graphdef.read_graphdef(data)
    ends = graphdef.outputs(nodes)
    output = "NCHW_output" if "NCHW_output" in ends else ends[-1] if ends else ""  # the name that dnn_superres asks for
    facts: dict[str, object] = {"format": "pb", "output": output, "radius": graphdef.reach(nodes)}
    facts |= {"ops": tuple(node.op for node in nodes), "width": graphdef.width(nodes), "outputs": tuple(ends)}
    found = superres_files.recognise(file.stem, hashlib.sha256(data).hexdigest(), graphdef.channels(nodes))
    if found:
        name, algorithm, scale = found
        facts |= {"name": name, "scale": scale, **_family(algorithm)}
    return facts
