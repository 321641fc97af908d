"""The verb ``cvsr models``: list the models that come with cvsr."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cvsr.modelfiles import zoo

DESCRIPTION = "List the models that come with cvsr."
EPILOG = ""

_HEADER = ("NAME", "SCALES", "SIZE", "QUALITY (Set5)", "WHAT FOR")
_QUALITY_SET = "Set5"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``cvsr models``."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def main(args: argparse.Namespace) -> int:
    """Print the models and return the exit code."""
    print(as_json() if args.json else table())
    return 0


def as_json() -> str:
    """Return the models, one entry per file, and the interpolations."""
    from cvsr.image import interpolation  # with OpenCV, which --help does not need
    from cvsr.modelfiles import zoo

    entries: list[dict[str, Any]] = [
        vars(entry) | {"path": str(entry.path), "default": entry.family == zoo.DEFAULT} for entry in zoo.models()
    ]
    return json.dumps({"models": entries, "interpolations": list(interpolation.METHODS)}, indent=2, ensure_ascii=False)


def table() -> str:
    """Return a table with a line per family."""
    from cvsr.image import interpolation  # with OpenCV, which --help does not need
    from cvsr.modelfiles import zoo

    rows = [_HEADER, *(_row(family, entries, family == zoo.DEFAULT) for family, entries in zoo.families().items())]
    rows += [(name, "any", "-", "-", "interpolation, to compare with") for name in interpolation.METHODS]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    )


def _row(family: str, entries: dict[int, zoo.Entry], is_default: bool) -> tuple[str, ...]:
    scales = ", ".join(f"x{scale}" for scale in sorted(entries))
    first = entries[min(entries)]
    size = f"{first.bytes / 1000:.0f} kB" if first.parameters is None else f"{first.parameters / 1000:.0f}k parameters"
    quality = ", ".join(
        f"x{scale} {entry.psnr[_QUALITY_SET]:.2f} dB"
        for scale, entry in sorted(entries.items())
        if _QUALITY_SET in entry.psnr
    )
    name = f"{family} (auto)" if is_default else family
    return name, scales, size, quality or "-", first.use
