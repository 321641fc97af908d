"""The table of image formats: how each is recognized, read and written, and what it can hold.

Everything that depends on formats takes it from here: reading, writing, the search of folders, evaluation, the server
and the help of the command line, which is why this module itself needs neither NumPy nor OpenCV.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from cvsr.errors import OptionError

if TYPE_CHECKING:
    from cvsr.image import Image
    from cvsr.io.interface import Facts, Header, Writer


@dataclass(frozen=True)
class Format:
    """One image format. Functions left at None mean that OpenCV does it.

    ``suffixes`` begin with the usual one, in lower case; ``signature`` is a regular expression for the first bytes.
    ``dtypes`` and ``channels`` are what can be written, none if results are never written in this format.
    ``quality`` names OpenCV's parameter; ``overhead`` is what OpenCV's encoder allocates at most, in bytes per byte of
    the picture (measured, rounded up); ``streams``: rows go to the file as they come, so that memory never holds the
    whole result. ``reads``: false for files that are recognized only to be refused by name. ``evaluated``: the suffixes
    that `cvsr.evaluate` takes. ``served``: the server sends results in it; it accepts what has a ``header`` function.

    ``header`` reads size and depth without decoding and raises BrokenFileError; ``inspect(bytes, name)`` returns
    metadata, repairs what OpenCV misreads and raises FileError; ``decode`` takes the bytes of a file, (n,) uint8, and
    returns the upright image, or raises ValueError. ``write(stream, shape, dtype)`` returns a Writer and gets as
    keywords what ``keeps`` names of "exif", "icc" and "quality"; ``embed(bytes, exif, icc)`` yields the pieces of an
    encoded file with metadata put in.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    signature: bytes
    media_type: str
    _: KW_ONLY
    dtypes: tuple[str, ...] = ()
    channels: tuple[int, ...] = ()
    longest_side: int = 1 << 30
    quality: str = ""
    overhead: float = 0.0
    streams: bool = False
    reads: bool = True
    evaluated: tuple[str, ...] = ()
    served: bool = False
    keeps: tuple[str, ...] = ()
    header: Callable[[memoryview], Header] | None = None
    inspect: Callable[[memoryview, str], Facts] | None = None
    decode: Callable[[Image], Image] | None = None
    write: Callable[..., Writer] | None = None
    embed: Callable[[memoryview, bytes | None, bytes | None], Iterable[bytes | memoryview]] | None = None


def _late(place: str) -> Callable[..., Any]:
    """Return a function that calls ``module:function`` of this package, which it imports only then."""
    module, name = place.split(":")
    return lambda *args, **keywords: getattr(import_module(f"cvsr.io.{module}"), name)(*args, **keywords)


_8, _16 = ("uint8",), ("uint8", "uint16")

# Evaluation takes the suffixes that data sets of the literature come in, so that other files in their folders do not
# change a published mean. The server accepts formats whose size can be read safely before decoding, and answers in
# those that browsers and programs display without plugins, and in TIFF.
# OpenCV writes some of the last ones too, but they store too little of a picture, or its encoder is switched off.
FORMATS: dict[str, Format] = {
    format.name: format
    for format in (
        Format(
            "png", "PNG", (".png",), rb"\x89PNG\r\n\x1a\n", "image/png",
            dtypes=_16, channels=(1, 3, 4), streams=True, evaluated=(".png",), served=True, keeps=("exif", "icc"),
            header=_late("png:header"), inspect=_late("png:inspect"), write=_late("png:PngWriter"),
        ),
        Format(
            "tiff", "TIFF", (".tiff", ".tif"), rb"II[*+]\0|MM\0[*+]", "image/tiff", dtypes=(*_16, "float32"),
            channels=(1, 3, 4), streams=True, evaluated=(".tif", ".tiff"), served=True, keeps=("icc",),
            header=_late("tiff.tags:header"), inspect=_late("tiff.tags:inspect"), write=_late("tiff.writer:TiffWriter"),
        ),
        Format(
            "jpg", "JPEG", (".jpg", ".jpeg", ".jpe"), rb"\xff\xd8\xff", "image/jpeg", dtypes=_8, channels=(1, 3),
            longest_side=65500, quality="IMWRITE_JPEG_QUALITY", overhead=2.2, evaluated=(".jpg", ".jpeg"), served=True,
            header=_late("jpeg:header"), inspect=_late("jpeg:inspect"), embed=_late("jpeg:embed"),
        ),
        Format(
            "webp", "WebP", (".webp",), rb"RIFF....WEBP", "image/webp", dtypes=_8, channels=(3, 4), longest_side=16383,
            quality="IMWRITE_WEBP_QUALITY", overhead=14, evaluated=(".webp",), served=True,
            header=_late("webp:header"), inspect=_late("webp:inspect"),
        ),
        Format(
            "avif", "AVIF", (".avif",), rb"....ftypavi[fs]", "image/avif", dtypes=_8, channels=(3, 4),
            longest_side=65536, quality="IMWRITE_AVIF_QUALITY", overhead=9,
        ),
        Format(
            "jp2", "JPEG 2000", (".jp2",), rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "image/jp2",
            dtypes=_16, channels=(1, 3, 4), overhead=9,
        ),
        Format(
            "bmp", "BMP", (".bmp", ".dib"), rb"BM", "image/bmp",
            dtypes=_8, channels=(1, 3), overhead=2.2, evaluated=(".bmp",), header=_late("header:bmp"),
        ),
        Format(
            "ppm", "PPM", (".ppm", ".pnm"), rb"P[36]", "image/x-portable-pixmap",
            dtypes=_16, channels=(3,), overhead=2.2, evaluated=(".ppm",),
        ),
        Format(
            "pgm", "PGM", (".pgm",), rb"P[25]", "image/x-portable-graymap",
            dtypes=_16, channels=(1,), overhead=2.2, evaluated=(".pgm",),
        ),
        Format("pfm", "PFM", (".pfm",), rb"P[Ff]", "image/x-pfm", dtypes=("float32",), channels=(1, 3), overhead=2.2),
        Format(
            "hdr", "HDR", (".hdr",), rb"#\?R", "image/vnd.radiance", dtypes=("float32",), channels=(3,), overhead=2.2
        ),
        Format("gif", "GIF", (".gif",), rb"GIF8", "image/gif"),
        Format("pbm", "PBM", (".pbm",), rb"P[14]", "image/x-portable-bitmap"),
        Format("pam", "PAM", (".pam",), rb"P7", "image/x-portable-arbitrarymap"),
        Format("exr", "EXR", (".exr",), rb"v/1\x01", "image/x-exr"),
        Format("heic", "HEIC", (".heic",), rb"....ftyp(hei[cx]|mif1)", "image/heic", reads=False),
    )
}  # fmt: skip
"""The formats by name, those that results are written in first."""


def register(format: Format) -> None:
    """Add a format to the table, or replace the one of its name."""
    FORMATS[format.name] = format


def sniff(data: memoryview) -> Format | None:
    """Return the format that the first bytes of a file tell, None if they tell none."""
    head = bytes(data[:32])
    return next((f for f in FORMATS.values() if re.match(f.signature, head, re.DOTALL)), None)


def opencv_writes(suffix: str) -> bool:
    """Tell whether this OpenCV can write files of that suffix."""
    from cvsr._cv2 import cv2  # here, so that the command line need not wait for it

    try:
        return bool(cv2.haveImageWriter("x" + suffix))
    except cv2.error:  # OpenEXR may be built in but switched off
        return False


def format_of(suffix: str) -> Format | None:
    """Return the format that a suffix (or a name: "png") stands for, None if it cannot be written here."""
    suffix = "." + suffix.lower().lstrip(".")
    found = next((f for f in FORMATS.values() if suffix in f.suffixes), None)
    if found is None or not found.dtypes:
        return None
    return found if found.write or opencv_writes(suffix) else None


def format_named(name: str) -> Format:
    """Return the format that ``--format`` names. Raise OptionError if this OpenCV cannot write it."""
    found = format_of(name)
    if found is None:
        raise OptionError(f"--format {name}: this OpenCV can write {', '.join(names())}")
    return found


def names() -> list[str]:
    """Return the names of the formats that can be written here."""
    return [name for name, format in FORMATS.items() if format_of(format.suffixes[0])]


def result_suffix(suffix: str) -> str:
    """Return the suffix of the result of a file with ``suffix``: the same if that can be written, else PNG's."""
    if format_of(suffix):
        return suffix
    return ".tiff" if suffix.lower() == ".exr" else ".png"  # OpenEXR holds floats, which PNG does not


def readable_suffixes() -> frozenset[str]:
    """Return the suffixes of files that are read: those that a folder is searched for."""
    return frozenset(suffix for format in FORMATS.values() if format.reads for suffix in format.suffixes)


def evaluated_suffixes() -> frozenset[str]:
    """Return the suffixes of files that models are evaluated on."""
    return frozenset(suffix for format in FORMATS.values() for suffix in format.evaluated)


def listed(formats: Iterable[Format]) -> str:
    """Return the titles of formats as text: "PNG, TIFF or BMP"."""
    *most, last = [format.title for format in formats]
    return f"{', '.join(most)} or {last}" if most else last


def accepted() -> list[Format]:
    """Return the formats that the server accepts: those whose size can be told before decoding."""
    return [format for format in FORMATS.values() if format.header]


def offered() -> dict[str, Format]:
    """Return by name the formats that the server writes results in, as far as that is possible here."""
    return {name: FORMATS[name] for name in names() if FORMATS[name].served}
