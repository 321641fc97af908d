"""The facts of a model file: scale, color, range, tail, receptive field."""

import hashlib
import re
from dataclasses import dataclass, field, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Literal, get_args

from cvsr.errors import ModelError, ModelNotFoundError, OptionError
from cvsr.modelfiles import onnx_reader, superres_files

Color = Literal["luma", "ycrcb", "ycbcr", "rgb", "bgr"]
Tail = Literal["image", "subpixel"]
Skip = Literal["none", "nearest"]
Chroma = Literal["bicubic", "bilinear", "dnn_superres"]
Inputs = Literal["image", "bicubic", "image,bicubic"]
Format = Literal["onnx", "pb", "interpolation"]


@dataclass(frozen=True)
class ModelFacts:
    """The known facts of a model file: the fields of :class:`ModelInfo`, some of which may be unknown."""

    name: str
    scale: int | None
    format: Format = "onnx"
    color: Color | None = None
    range: float | None = None
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
    def complete(self) -> bool:
        """Whether the model can run with these facts."""
        return None not in (self.scale, self.color, self.range)


@dataclass(frozen=True)
class ModelInfo(ModelFacts):
    """The facts of one model.

    ``scale``: output over input size. ``color``: what the network takes: "luma" (one channel, BT.601 full range),
    "ycrcb", "ycbcr", "rgb" or "bgr". ``range``: the value of white, 1 or 255. ``mean``: subtracted from each channel
    of the input and added to the output, in units of ``range``. ``inputs``: what the network reads: the "image", the
    image enlarged by interpolation ("bicubic": SRCNN, VDSR), or both ("image,bicubic": DCSCN). ``multiple``: the sides
    of its input must be multiples of this. ``tail``: the network ends in an "image", or in the scale² "subpixel"
    planes of each channel before the pixel shuffle. ``skip``: what is added to the planes after the network: "none",
    or "nearest", the input itself. ``chroma``: how to interpolate chroma for a luma network, and the input of a network
    that reads it enlarged; "dnn_superres" is bilinear, and rounds to 8 bits wherever OpenCV's module does, so that the
    results are equal. ``radius``: of the receptive field, in input pixels; None if unknown or global. ``output``:
    the name of the output to take, or "" for the only one; ``outputs``: the names of all; ``names``: those of the
    inputs if there are several. ``width``: channels of the widest layer. ``algorithm``: its name in OpenCV's
    dnn_superres, for files made for that.
    """

    scale: int
    color: Color = "luma"
    range: float = 1.0

    @property
    def channels(self) -> int:
        """Return how many channels the network takes."""
        return 1 if self.color == "luma" else 3


def overridden(facts: ModelFacts, **changes: object) -> ModelFacts:
    """Return facts with the ``changes`` that are not None."""
    return replace(facts, **{name: value for name, value in changes.items() if value is not None})


def read_bytes(path: str | PathLike[str]) -> bytes:
    """Return the bytes of a model file; raise ModelNotFoundError if it cannot be read."""
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

    They come from the file's metadata (``cvsr.*``), else from its checksum if it is a public model, else from its name
    and structure; keywords override all of these. ``algorithm``: "fsrcnn", "espcn", "lapsrn" or "edsr", for the color,
    range and mean that OpenCV's dnn_superres uses for networks of that name.
    Raises ModelNotFoundError, or ModelError naming the keyword to pass if a fact is unknown.
    """
    facts = read_facts(path)
    if algorithm:
        facts = of_algorithm(facts, algorithm)
    return completed(
        overridden(facts, scale=scale, color=color, range=range, mean=mean, inputs=inputs, tail=tail, radius=radius)
    )


def completed(facts: ModelFacts) -> ModelInfo:
    """Return checked facts that are sufficient to run a model; raise ModelError or OptionError."""
    for key, hint in (("scale", "scale=2"), ("color", "color='luma'"), ("range", "range=1")):
        if getattr(facts, key) is None:
            raise ModelError(
                f"{facts.path}: its {key} is neither in the metadata nor in the name: pass it, as in "
                f"open_model(path, {hint})"
            )
    for key, kind in _CHOICES.items():
        if getattr(facts, key) not in get_args(kind):
            raise OptionError(f"{key} is {getattr(facts, key)!r}: use one of {', '.join(get_args(kind))}")
    if not isinstance(facts.scale, int) or not 1 <= facts.scale <= 16:
        raise OptionError(f"scale is {facts.scale!r}: a model's scale is a whole number from 1 to 16")
    if facts.range not in (1, 255):
        raise OptionError(f"range is {facts.range!r}: use 1 or 255")
    if not 1 <= facts.multiple <= 64:
        raise OptionError(f"multiple is {facts.multiple!r}: it must be from 1 to 64")
    info = ModelInfo(**vars(facts))
    if info.mean and len(info.mean) != info.channels:
        raise OptionError(f"mean has {len(info.mean)} values: use one for each of {info.channels} channels")
    return info


def read_facts(path: str | PathLike[str]) -> ModelFacts:
    """Return the facts in a model file; some may be missing.

    Raises ModelNotFoundError, or ModelError if it is broken or of another format.
    """
    data, file = read_bytes(path), Path(fspath(path))
    if not data:
        raise ModelError(f"{file} is empty")
    try:
        if file.suffix.lower() == ".pb":
            return pb_facts(file, data)
        if file.suffix.lower() == ".onnx":
            return _onnx_facts(file, data)
    except ModelError as error:
        raise ModelError(f"{file}: {error}") from error
    raise ModelError(
        f"{file}: cvsr reads .onnx and frozen TensorFlow .pb files, not {file.suffix!r}: convert trained Keras or "
        "TensorFlow models with cvsr_converters"
    )


_CHOICES = {"color": Color, "inputs": Inputs, "tail": Tail, "skip": Skip, "chroma": Chroma}


def _onnx_facts(file: Path, data: bytes) -> ModelFacts:
    onnx = onnx_reader.read_onnx(data)
    meta = {k.removeprefix("cvsr."): v for k, v in onnx.metadata.items() if k.startswith("cvsr.")}
    if len(onnx.inputs) != 1 + ("," in meta.get("inputs", "")):
        raise ModelError(f"it has {len(onnx.inputs)} inputs: cvsr supports one, or two that its metadata names")
    inputs, outputs = (tuple(name for name, _ in several) for several in (onnx.inputs, onnx.outputs))
    (_, dims), (_, out) = onnx.inputs[0], onnx.outputs[-1]
    scale, named = None, re.search(r"[xX](\d)(?!\d)", file.stem)
    if len(dims) == 4 and len(out) == 4 and dims[2] and out[2] and out[2] % dims[2] == 0 and out[2] > dims[2]:
        scale = out[2] // dims[2]
    elif named:
        scale = int(named[1])
    facts = ModelFacts(
        file.stem, scale, color="luma" if len(dims) == 4 and dims[1] == 1 else None, radius=onnx.reach,
        outputs=outputs, names=inputs if len(inputs) > 1 else (), path=file,
        sha256=hashlib.sha256(data).hexdigest(), width=onnx.width, ops=tuple(onnx.ops),
    )  # fmt: skip
    try:
        return _with_metadata(facts, meta)
    except ValueError as error:
        raise ModelError(f"its metadata is broken: {error}") from error


def _with_metadata(facts: ModelFacts, meta: dict[str, str]) -> ModelFacts:
    if meta.get("radius"):
        facts = replace(facts, radius=None if meta["radius"] == "global" else int(meta["radius"]))
    texts = {key: meta.get(key) or None for key in ("name", *_CHOICES)}
    numbers = {key: int(meta[key]) for key in ("scale", "multiple", "parameters") if meta.get(key)}
    mean = tuple(float(v) for v in meta["mean"].split(",")) if meta.get("mean") else None
    return overridden(facts, **texts, **numbers, range=float(meta["range"]) if meta.get("range") else None, mean=mean)


def of_algorithm(facts: ModelFacts, algorithm: str) -> ModelFacts:
    """Return facts with the settings of a dnn_superres algorithm; raise OptionError if it is unknown."""
    name = algorithm.lower()
    if name not in superres_files.FAMILIES:
        raise OptionError(f"algorithm is {algorithm!r}: dnn_superres has {', '.join(superres_files.FAMILIES)}")
    return overridden(facts, algorithm=name, **vars(superres_files.FAMILIES[name]))


def pb_facts(file: Path, data: bytes) -> ModelFacts:
    """Return the facts of a frozen TensorFlow graph: those of its nodes, and more if it is one for dnn_superres."""
    from cvsr.modelfiles.tensorflow import graphdef  # lazy: keeps the import of cvsr fast

    nodes, sha256 = graphdef.read_graphdef(data), hashlib.sha256(data).hexdigest()
    ends = graphdef.outputs(nodes)
    output = "NCHW_output" if "NCHW_output" in ends else ends[-1] if ends else ""  # the name that dnn_superres requests
    facts = ModelFacts(
        file.stem, None, "pb", radius=graphdef.reach(nodes), output=output, outputs=tuple(ends), path=file,
        sha256=sha256, width=graphdef.width(nodes), ops=tuple(node.op for node in nodes),
    )  # fmt: skip
    found = superres_files.recognise(file.stem, sha256, graphdef.channels(nodes))
    if not found:
        return facts
    name, algorithm, scale = found
    return of_algorithm(replace(facts, name=name, scale=scale), algorithm)
