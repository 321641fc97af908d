"""The picture that each bundled model makes at each of its scales, and what is known of the models."""

from __future__ import annotations

from pathlib import Path

from sections import kit

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "area")


def run(book: kit.Book) -> None:
    """Note pictures and facts."""
    import cvsr

    for name, entry in kit.models().items():
        upscaler = book(f"{name}/made", lambda entry=entry: cvsr.Upscaler(entry["family"], entry["scale"], threads=1))
        if upscaler is None:
            continue
        book(f"{name}/color", upscaler, kit.photo())
        book(f"{name}/gray", upscaler, kit.gray(width=40, height=30))
        book(f"{name}/info", lambda upscaler=upscaler: upscaler.info)
        book(f"{name}/file", Path(entry["path"]).read_bytes)
    for name in INTERPOLATIONS:
        for scale in (0.5, 1.5, 2, 3):
            book(f"{name}/x{scale}", lambda name=name, scale=scale: cvsr.upscale(kit.photo(), scale, model=name))
        book(f"{name}/size", lambda name=name: cvsr.upscale(kit.photo(), size=(100, 100), model=name))
        book(f"{name}/alpha", lambda name=name: cvsr.upscale(kit.with_alpha(kit.photo()), 2, model=name))
        book(f"{name}/info", lambda name=name: cvsr.Upscaler(name, 2).info)
