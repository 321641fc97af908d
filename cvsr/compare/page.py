"""The page of a comparison: one self-contained HTML file."""

import base64
import hashlib
import html
import json
import math
import re
from importlib.resources import files
from itertools import zip_longest

import numpy as np

from cvsr import __version__, image
from cvsr._cv2 import cv2
from cvsr.compare.comparison import CROP, Comparison, Shown
from cvsr.errors import FileError
from cvsr.io import formats

_LOSSLESS = 101  # a "quality" above 100, to OpenCV


def text(name: str, room: str = "compare") -> str:
    """Return the text of a file in the assets of one of cvsr's packages."""
    return (files("cvsr") / room / "assets" / name).read_text(encoding="utf-8")


def page(comparison: Comparison) -> str:
    """Return the HTML of a comparison. Raise FileError if this OpenCV cannot encode the images."""
    encoded = [encode(shown.image) for shown in comparison.shown]
    style = text("viewer.css") + text("compare.css")
    script = text("viewer.js") + text("compare.js")
    width, height = comparison.shown[0].size
    facts = {"width": width, "height": height, "crop": CROP, "right": _best(comparison.shown)}
    facts |= dict(zip("xy", comparison.focus, strict=True))
    fields = {
        "policy": f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}",
        "title": html.escape(comparison.title),
        "summary": html.escape(_summary(comparison)),
        "style": style,
        "crops": "\n".join(map(_figure, comparison.shown, encoded)),
        "head": _head(_measured(comparison)),
        "rows": "\n".join(_row(comparison.shown, shown, _measured(comparison)) for shown in comparison.shown),
        "notes": "\n".join(f'<p class="soft">{html.escape(note)}</p>' for note in _notes(comparison)),
        "version": __version__,
        "count": str(len(encoded)),
        "bytes": megabytes(sum(len(data) for _, data in encoded)),
        "facts": json.dumps(facts),
        "script": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: fields[match[1]], text("compare.html"))


def encode(pixels: image.Image) -> tuple[str, bytes]:
    """Return the media type and the bytes of an 8-bit image, lossless: WebP if possible, else PNG."""
    webp, png = formats.format_of("webp"), formats.FORMATS["png"]
    if webp and max(pixels.shape[:2]) <= webp.longest_side:
        color = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR) if pixels.ndim == 2 else pixels
        done, data = cv2.imencode(".webp", color, [cv2.IMWRITE_WEBP_QUALITY, _LOSSLESS])
        if done and _same(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), color):
            return webp.media_type, data.tobytes()
    done, data = cv2.imencode(".png", pixels)
    if not done:
        raise FileError(f"OpenCV {cv2.__version__} cannot write PNG: install a build that can")
    return png.media_type, data.tobytes()


def _same(decoded: image.Image | None, pixels: image.Image) -> bool:
    """Return whether an image survived encoding: WebP is not lossless in some builds."""
    return decoded is not None and decoded.shape == pixels.shape and np.array_equal(decoded, pixels)


def megabytes(size: int) -> str:
    """Return a human-readable size."""
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.0f} kB"


def label(shown: Shown) -> str:
    """Return the PSNR of a result for a caption, or "" if it was not measured."""
    return "" if shown.psnr is None else f"{shown.psnr:.2f} dB" if math.isfinite(shown.psnr) else "identical"


def _hash(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


def _best(shown: tuple[Shown, ...]) -> int:
    """Return the index of the result to show beside bicubic: the one with the best PSNR, or the last model."""
    models = [(index, each) for index, each in enumerate(shown) if index and each.seconds is not None]
    if not models:
        return len(shown) - 1
    return max(models, key=lambda pair: (pair[1].psnr or 0, pair[0]))[0]


def _summary(comparison: Comparison) -> str:
    before, after = (f"{width}x{height}" for width, height in (comparison.input_size, comparison.shown[0].size))
    return f"{before} pixels enlarged by {comparison.scale:g} to {after}"


def _measured(comparison: Comparison) -> bool:
    return any(shown.psnr is not None for shown in comparison.shown)


def _figure(shown: Shown, encoded: tuple[str, bytes]) -> str:
    kind, data = encoded
    name, (width, height) = html.escape(shown.name), shown.size
    source = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    return (
        f'<figure><div class="shot" data-name="{name}"><img alt="{name}" width="{width}" height="{height}" '
        f'src="{source}"></div><figcaption><b>{name}</b><span>{label(shown)}</span></figcaption></figure>'
    )


def _head(measured: bool) -> str:
    titles = ["Result", *(["PSNR", "SSIM"] if measured else []), "Time", "Parameters", "Ran on"]
    numbers = len(titles) - 2
    kinds = ["", *[' class="number"'] * numbers]
    return "".join(f'<th scope="col"{kind}>{title}</th>' for title, kind in zip_longest(titles, kinds, fillvalue=""))


def _row(all_shown: tuple[Shown, ...], shown: Shown, measured: bool) -> str:
    cells: list[tuple[str, str]] = []
    for value, others, form in (
        (shown.psnr, [each.psnr for each in all_shown], ".2f"),
        (shown.ssim, [each.ssim for each in all_shown], ".4f"),
    ):
        best = value is not None and value == max(other for other in others if other is not None)
        unit = " dB" if form == ".2f" else ""
        written = "" if value is None else f"{value:{form}}{unit}" if math.isfinite(value) else "identical"
        cells += [(" best" * best, written)] if measured else []
    cells.append(("", "" if shown.seconds is None else duration(shown.seconds)))
    cells.append(("", "" if shown.parameters is None else f"{shown.parameters:,}"))
    numbers = "".join(f'<td class="number{best}">{value}</td>' for best, value in cells)
    return f'<tr><th scope="row">{html.escape(shown.name)}</th>{numbers}<td>{html.escape(shown.ran_on)}</td></tr>'


def duration(seconds: float) -> str:
    """Return a human-readable time."""
    return f"{seconds * 1e3:.{seconds < 0.01:d}f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _notes(comparison: Comparison) -> list[str]:
    notes = [*comparison.notes, "Times are for a single run on this image, after a warm-up."]
    if _measured(comparison):
        border = math.ceil(comparison.scale)
        notes.append(
            f"PSNR and SSIM compare 8-bit luma with the original's, without a border of {border} pixels: the protocol "
            "of the literature, as in cvsr eval."
        )
    return notes
