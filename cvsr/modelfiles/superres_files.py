"""Recognize the models for OpenCV's dnn_superres: the public ones by checksum, others by name."""

import re
import warnings
from dataclasses import dataclass

PUBLIC = {
    "59f77351e1d7c0057bf6fe088b4a8a07e42c468c8c8aebb674a6b4ea1823221d": "ESPCN_x2",
    "0e667db7a431d14c32568ed79bf21701a64df8b1d162e48ca1f8800affe2c2b3": "ESPCN_x3",
    "e403f06309229cf36009cd8fb0da032ba7643fae9f15cf94fe562e8edf8fef47": "ESPCN_x4",
    "429e4793d049c1ae16ddbbc322fd11c3c08831c0c20137390b4d098976a2b0d9": "FSRCNN-small_x2",
    "58e72d0c4231b8e754180e787d7348f45ae6230ee3c5af7dc12b558467f593f7": "FSRCNN-small_x3",
    "92a9f57c28494813b4dc073b51a300cb909401454d77541bcdc96b4d55901d02": "FSRCNN-small_x4",
    "366b33f0084c7b3f2bf6724f0a2c77bca94fcec9d7b6d72389d330073b380d5c": "FSRCNN_x2",
    "efd38655a815908c6c8954db6052f128e76a735f1de657894c477d0dc0b64481": "FSRCNN_x3",
    "5c68d18db561aed8ead4ffedf1b897ea615baaf60ebf6c35f8e641f8fa4a21bf": "FSRCNN_x4",
    "f59c86e6835bbca646dbd81588f07820dfe3bd09e3702976ae2d90b5fc0f0b21": "LapSRN_x2",
    "d3e95c93cafae5ce5a8ed57ce9abf07f2de58da8c5d6d656b766774969835ee2": "LapSRN_x4",
    "a00211938b2b4c7d23691525a9267d9d0bbb345cdb9f38a7fc917414a5a1884f": "LapSRN_x8",
}
"""The files that OpenCV's documentation links, by SHA-256. EDSR is recognized by name and structure."""

EDSR_MEAN = (103.1545782, 111.561547, 114.35629928)  # BGR, as in OpenCV's dnn_superres


@dataclass(frozen=True)
class Family:
    """The settings of an algorithm in dnn_superres, as fields of ModelInfo."""

    color: str
    range: float
    mean: tuple[float, ...] | None = None
    chroma: str | None = None


_LUMA = Family("luma", 1.0, chroma="dnn_superres")
FAMILIES = {"espcn": _LUMA, "fsrcnn": _LUMA, "lapsrn": _LUMA, "edsr": Family("bgr", 255.0, EDSR_MEAN)}
"""The algorithms of dnn_superres."""


def channels(algorithm: str) -> int:
    """Return how many channels the networks of an algorithm take."""
    return 1 if FAMILIES[algorithm].color == "luma" else 3


def named(stem: str) -> tuple[str, int] | None:
    """Return the (algorithm, scale) in a file name without suffix, or None."""
    match = re.fullmatch(rf"({'|'.join(FAMILIES)})\S*?[xX](\d)", stem, re.IGNORECASE)
    return (match[1].lower(), int(match[2])) if match else None


def recognise(stem: str, sha256: str, takes: int | None) -> tuple[str, str, int] | None:
    """Return the (name, algorithm, scale) of a frozen graph for dnn_superres, or None for other graphs.

    The checksum decides, else the name ``stem`` if it matches the channels that the network ``takes`` (None: unknown).
    Warns if the name contradicts the content.
    """
    name, says = PUBLIC.get(sha256), named(stem)
    if name is None:
        if says is None or takes in (None, channels(says[0])):
            return (stem, *says) if says else None
        why = f"the network in it takes {takes} channels, and those of {says[0]} take {channels(says[0])}"
        _warn(f"{stem}.pb is not what its name says: {why}. Ignoring the name")
        return None
    algorithm, scale = named(name) or ("", 0)
    another = {other.casefold() for other in PUBLIC.values()} - {name.casefold()}
    if stem.casefold() in another or says not in (None, (algorithm, scale)):
        _warn(f"{stem}.pb is not what its name says: its checksum is that of {name}.pb. Using it as {name}")
    return name, algorithm, scale


def _warn(text: str) -> None:
    warnings.warn(text, RuntimeWarning, stacklevel=6)  # whoever called cvsr.open_model
