"""The options of Upscaler: tiles, segments, exact results, kinds of images, scales, memory, effort; and sequences."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from sections import kit

BIG = {"width": 150, "height": 110}


def run(book: kit.Book) -> None:
    """Note pictures."""
    import cvsr

    def picture(name: str, image: np.ndarray, model: str = "cvsr-small", scale: Any = 2, **options: Any) -> None:
        book(name, lambda: cvsr.Upscaler(model, scale, **{"threads": 1} | options)(image))

    _tiles(picture)
    _kinds(picture)
    _scales(picture)
    _watch(book)
    _sequence(book)
    _facts(book)


def _tiles(picture: Callable[..., None]) -> None:
    photo = kit.photo(**BIG)
    for tile in (0, 32, 50, None):
        for exact in (False, True):
            name = f"tile={tile}, exact={exact}"
            for model in ("cvsr-small", "cvsr-medium", "fsrcnn", "srcnn"):
                picture(f"{name}/{model}", photo, model, tile=tile, exact=exact)
    picture("threads=2", photo, tile=32, threads=2, exact=True)
    for model in ("drrn", "vdsr", "edsr", "cvsr-large", "lapsrn"):
        for exact in (False, True):
            picture(f"segments/{model}/exact={exact}", photo, model, exact=exact)
        picture(f"segments/{model}/memory", photo, model, exact=True, max_memory="40M")
        picture(f"segments/{model}/tile", photo, model, exact=True, tile=48)
    for memory in ("1K", "4M", 6_000_000, "16M", "1G"):
        picture(f"max_memory={memory}", photo, exact=True, max_memory=memory)
        picture(f"max_memory={memory}/bicubic", photo, "bicubic", max_memory=memory)
    screen = kit.screen()
    for tile in (None, 32):
        picture(f"effort=fast, tile={tile}", screen, effort="fast", tile=tile)
        picture(f"effort=full, tile={tile}", screen, tile=tile)
    picture("effort=fast/alpha", kit.with_alpha(screen), effort="fast", tile=32)
    picture("effort=fast/deep", screen, "vdsr", effort="fast")
    picture("effort=fast, exact=True", screen, effort="fast", exact=True)


def _kinds(picture: Callable[..., None]) -> None:
    photo = kit.photo()
    shapes = {"gray": photo[:, :, 1], "(H, W, 1)": photo[:, :, 1:2], "BGR": photo, "BGRA": kit.with_alpha(photo)}
    depths = {"uint8": np.ascontiguousarray, "uint16": kit.deep, "float32": kit.floats}
    for shape, image in shapes.items():
        for depth, made in depths.items():
            for model, scale in (("cvsr-small", 2), ("cvsr-photo", 2), ("srgan", 4), ("bicubic", 2)):
                picture(f"kinds/{shape}/{depth}/{model}", made(image), model, scale, exact=True)
    picture("kinds/not contiguous", photo[::-1, ::2])
    for name, wrong in {
        "int32": photo.astype(np.int32), "float64": photo / 255.0, "2 channels": photo[:, :, :2], "empty": photo[:0],
        "4 axes": photo[None], "a list": [1], "nan": np.full((9, 9), np.nan, np.float32),
        "above 1": kit.floats(photo) * 3, "1x1": photo[:1, :1], "1 row": photo[:1], "1 column": photo[:, :1],
    }.items():  # fmt: skip
        picture(f"kinds/{name}", wrong)


def _scales(picture: Callable[..., None]) -> None:
    photo = kit.photo()
    for scale in (0.5, 1, 1.5, 2.5, 3, 3.7, 4, 6, 0, -1, float("nan"), float("inf"), 65, "2"):
        picture(f"scale={scale!r}", photo, scale=scale, exact=True)
    for size in ((100, 100), (64, 48), (33, 200), (300, 20), (0, 5), (1, 1), (10.5, 10)):
        picture(f"size={size}", photo, scale=None, size=size, exact=True)
    picture("scale and size", photo, scale=2, size=(9, 9))
    picture("scale=1.5, alpha", kit.with_alpha(photo), scale=1.5, exact=True)
    picture("scale=3.7, memory", kit.photo(**BIG), scale=3.7, exact=True, max_memory="8M")
    picture("scale=8", kit.photo(width=24, height=20), scale=8, exact=True)
    for name, options in {
        "unknown model": {"model": "nothing"}, "unknown device": {"device": "abacus"}, "tile=-1": {"tile": -1},
        "missing file": {"model": "missing.onnx"}, "effort": {"effort": "some"}, "engine": {"engine": "steam"},
        "max_memory": {"max_memory": "much"}, "cuda": {"device": "cuda"}, "engine of onnx": {"engine": "superres"},
        "interpolation on opencl": {"model": "area", "device": "opencl"}, "threads=0": {"threads": 0},
    }.items():  # fmt: skip
        picture(f"wrong/{name}", photo, **options)


def _watch(book: kit.Book) -> None:
    import cvsr

    upscaler, photo = cvsr.Upscaler("cvsr-small", 2, tile=40, threads=1, exact=True), kit.photo(**BIG)
    seen: list[tuple[int, int]] = []
    upscaler(photo, progress=lambda progress: seen.append((progress.done, progress.total)))
    book.note("progress", seen)
    book("cancel", upscaler, photo, cancel=lambda: True)
    bands = book("bands", lambda: list(upscaler.bands(photo)))
    book("bands/together", lambda: np.concatenate(bands))
    for size in ((64, 48), (1, 1)):
        for scale in (0.25, 1.5, 2):
            book(f"output_size/{size}/{scale}", cvsr.Upscaler("bilinear", scale).output_size, *size)
    for name in ("device", "requested", "engine", "backend", "target", "threads"):
        book(f"ran_on/{name}", lambda name=name: getattr(upscaler.ran_on, name))
        book(f"ran_on/bicubic/{name}", lambda name=name: getattr(cvsr.Upscaler("bicubic", 2).ran_on, name))


def _sequence(book: kit.Book) -> None:
    import cvsr

    first = kit.photo(**BIG).copy()
    second, third = first.copy(), kit.photo(width=70, height=50)
    second[40:60, 40:60] = 128
    for model, options in {"cvsr-small": {"tile": 32}, "vdsr": {}, "bicubic": {}}.items():
        sequence = cvsr.Sequence(cvsr.Upscaler(model, 2, threads=1, exact=True, **options))
        for number, frame in enumerate((first, first, second, first, third, first)):
            book(f"sequence/{model}/{number}", sequence, frame)
            book.note(f"sequence/{model}/{number}/tiles", [sequence.reused, sequence.computed])


def _facts(book: kit.Book) -> None:
    import cvsr

    path = kit.models()["cvsr-small_x2"]["path"]
    book("open_model", cvsr.open_model, path)
    book("open_model/given", cvsr.open_model, path, scale=3, color="ycrcb", range=255.0, mean=(1.0, 2.0, 3.0), radius=5)
    book("open_model/contradiction", cvsr.open_model, path, color="rgb", mean=(1.0,))
    book("open_model/missing", cvsr.open_model, "missing.onnx")
    Path("broken.onnx").write_bytes(b"no model")
    Path("cut.onnx").write_bytes(Path(path).read_bytes()[:5000])
    for name in ("broken.onnx", "cut.onnx"):
        book(f"open_model/{name}", cvsr.open_model, name)
    book("open_model/folder", lambda: sorted(cvsr.Upscaler(Path(path).parent, 3).models))
    for pair in pairwise((2, 3, 4)):
        book(f"models/{pair}", lambda pair=pair: cvsr.Upscaler("cvsr-small", sum(pair) / 2).info.scale)
