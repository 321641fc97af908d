"""The metadata of a TIFF page, for a result of another size: physical sizes stay correct.

Pixel sizes (resolution tags, ImageJ's and OME's) become those of the new pixels; the rest is copied unchanged.
"""

import json
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from cvsr.io.tiff.parser import ASCII, RATIONAL, SIZES, SRATIONAL
from cvsr.io.tiff.tags import EXTRA_SAMPLES, ICC_PROFILE, PHOTOMETRIC
from cvsr.io.tiff.writer import Tags
from cvsr.rasters.page_strips import tifffile
from cvsr.rasters.pages import Page

Larger = Callable[[int, int], tuple[int, int]]
"""Returns the size of the result, (width, height), for that of a picture."""

_DESCRIPTION, _X_RESOLUTION, _Y_RESOLUTION, _COLOR_MAP = 270, 282, 283, 320
_UNIT, _NO_UNIT = 296, 1
_IMAGEJ = 50839
# names of document and page, scanner, unit of the resolution, page number, software, date, author, host, copyright,
# XMP, IPTC, profile
_COPIED = (269, 271, 272, 285, 296, 297, 305, 306, 315, 316, 33432, 700, 33723, ICC_PROFILE)
_LARGEST = 2**32 - 1
_MICROSCOPES = ("lsm", "stk", "fluoview", "nih", "fei", "sem", "sis", "tvips", "scanimage", "mdgel", "andor", "pilatus")
_IN_PIXELS = {"ROI", "Overlays", "Plot"}
_GEO = (33550, 33922, 34264)


def tags(page: Page, file: Any, larger: Larger) -> Tags:
    """Return the tags for the result of a page of a ``tifffile.TiffFile``."""
    source = page.page
    size = larger(page.shape[1], page.shape[0])
    factor = Fraction(size[0], page.shape[1]), Fraction(size[1], page.shape[0])
    found: dict[int, tuple[int, list[int] | bytes]] = {}
    for tag in source.tags:
        if tag.code in _COPIED:
            found[tag.code] = int(tag.dtype), _bytes(tag, file)
        elif tag.code == _DESCRIPTION:
            found[tag.code] = ASCII, described(_bytes(tag, file), page, larger)
        elif tag.code in (_X_RESOLUTION, _Y_RESOLUTION) and (file.is_imagej or source.tags.valueof(_UNIT) != _NO_UNIT):
            across = (tag.code == _X_RESOLUTION) == (page.orientation < 5)
            found[_X_RESOLUTION if across else _Y_RESOLUTION] = _resolution(tag.value, factor[0 if across else 1])
        elif tag.code == _IMAGEJ and isinstance(tag.value, dict):
            found |= _imagej(tag.value)
        elif (tag.code == EXTRA_SAMPLES and page.shape[2:] == (4,)) or (tag.code == _COLOR_MAP and file.is_imagej):
            found[tag.code] = int(tag.dtype), _bytes(tag, file)
    if len(page.shape) == 2 and int(source.photometric) != 1:
        found[PHOTOMETRIC] = 3, [int(source.photometric)]  # white is zero, or colors to display gray in
    return found


def lost(file: Any) -> list[str]:
    """Return descriptions of the metadata that the result will not have."""
    gone = [f"the {name.upper()} metadata" for name in _MICROSCOPES if getattr(file, f"is_{name}", False)]
    first = file.pages[0]
    value = first.tags.valueof(_IMAGEJ)
    if isinstance(value, dict) and not _IN_PIXELS.isdisjoint(value):
        gone.append("regions of interest and overlays, which are in pixels")
    if file.is_ome and len(set(re.findall(r'FileName="([^"]*)"', str(first.description)))) > 1:
        gone.append("pages that are in other files of the same set")
    if any(code in first.tags for code in _GEO):
        gone.append("georeferencing")
    if len(first.tags.valueof(330) or ()):
        gone.append("the smaller copies of pages")
    return gone


def icc(page: Page) -> bytes | None:
    """Return a page's color profile."""
    value = page.page.tags.valueof(ICC_PROFILE)
    return bytes(value) if value else None


def _bytes(tag: Any, file: Any) -> bytes:
    """Return the bytes of a tag's value in little endian order."""
    handle = file.filehandle
    handle.seek(tag.valueoffset)
    data: bytes = handle.read(tag.valuebytecount)
    size = SIZES.get(int(tag.dtype), 1) // (2 if int(tag.dtype) in (RATIONAL, SRATIONAL) else 1)
    if size == 1 or file.byteorder == "<":
        return data
    return np.frombuffer(data, f">u{size}").astype(f"<u{size}").tobytes()


def _resolution(value: tuple[int, int], factor: Fraction) -> tuple[int, list[int] | bytes]:
    """Return pixels per unit, a rational, times ``factor``."""
    over, under = (int(part) for part in value)
    if not over or not under:
        return RATIONAL, np.array([over, under], "<u4").tobytes()
    exact = Fraction(over, under) * factor
    near = exact
    for largest in (_LARGEST, 10**6, 1000, 1):  # numerator and denominator have 32 bits each
        near = exact.limit_denominator(largest)
        if near.numerator <= _LARGEST:
            break
    return RATIONAL, np.array([min(near.numerator, _LARGEST), near.denominator], "<u4").tobytes()


def _imagej(value: dict[str, Any]) -> Tags:
    """Return ImageJ's own tags: labels, information, colors and display ranges."""
    kept = {name: part for name, part in value.items() if name not in _IN_PIXELS}
    return {
        code: (int(kind), data) for code, kind, _, data, _ in tifffile().tifffile.imagej_metadata_tag(kept, "<") or ()
    }


def described(text: bytes, page: Page, larger: Larger) -> bytes:
    """Return a description in which the sizes that ImageJ, OME or tifffile store are changed."""
    size = larger(page.shape[1], page.shape[0])
    plain = text.rstrip(b"\0")
    if plain.startswith(b"ImageJ="):
        plain = _origin(plain, b"xorigin", size[0] / page.shape[1])
        plain = _origin(plain, b"yorigin", size[1] / page.shape[0])
    elif plain.rstrip().endswith(b"OME>"):
        plain = ome(plain, larger)
    elif plain.startswith(b'{"shape"'):
        plain = _shaped(plain, page, size)
    return plain + b"\0"


def _origin(text: bytes, name: bytes, factor: float) -> bytes:
    """Return ImageJ's description with an origin, in pixels, moved."""
    return re.sub(rb"(?m)^(" + name + rb"=)([-+.\deE]+)", lambda m: m[1] + b"%.10g" % (float(m[2]) * factor), text)


def ome(text: bytes, larger: Larger) -> bytes:
    """Return OME-XML for pictures with more and smaller pixels."""

    def changed(match: re.Match[bytes]) -> bytes:
        pixels = match[0]
        old = _attribute(pixels, b"SizeX"), _attribute(pixels, b"SizeY")
        new = larger(*old) if all(old) else old
        for axis, before, after in zip((b"X", b"Y"), old, new, strict=True):
            share = before / max(1, after)
            pixels = re.sub(rb"(\bSize" + axis + rb"\s*=\s*[\"'])\d+", rb"\g<1>%d" % after, pixels)
            pixels = re.sub(
                rb"(\bPhysicalSize" + axis + rb"\s*=\s*[\"'])([-+.\deE]+)",
                lambda m, share=share: m[1] + repr(float(m[2]) * share).encode(),
                pixels,
            )
        return pixels

    return re.sub(rb"<(?:\w+:)?Pixels\b[^>]*>", changed, text)


def _attribute(element: bytes, name: bytes) -> int:
    match = re.search(rb"\b" + name + rb"\s*=\s*[\"'](\d+)", element)
    return int(match[1]) if match else 0


def _shaped(text: bytes, page: Page, size: tuple[int, int]) -> bytes:
    """Return tifffile's description, a shape in JSON, for pages of another size with channels last."""
    try:
        told = json.loads(text)
        old, axes = list(told["shape"]), page.page.shape
    except (ValueError, KeyError, TypeError):
        return text
    if tuple(old[-len(axes) :]) != tuple(axes):
        return text
    told["shape"] = [*old[: -len(axes)], size[1], size[0], *page.shape[2:]]
    if isinstance(told.get("axes"), str) and len(told["axes"]) == len(old):
        told["axes"] = told["axes"][: -len(axes)] + ("YX" if len(page.shape) == 2 else "YXS")
    return json.dumps(told).encode()
