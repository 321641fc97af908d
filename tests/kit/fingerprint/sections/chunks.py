"""Dask arrays by ``cvsr.dask.upscale``, and files by the workers of a dask cluster."""

from __future__ import annotations

import contextlib
from pathlib import Path

import cv2
import numpy as np

from sections import kit


def run(book: kit.Book) -> None:
    """Note results."""
    import dask
    import dask.array as da

    import cvsr
    from cvsr import dask as lazy

    dask.config.set(scheduler="synchronous")
    photo = kit.photo(width=90, height=70)
    arrays = {
        "color": (photo, (40, 30, 3)), "split channels": (photo, (40, 30, 1)), "gray": (photo[:, :, 1], (33, 33)),
        "deep": (kit.deep(photo), (70, 50, 3)), "alpha": (kit.with_alpha(photo), (35, 45, 4)),
        "stack": (np.stack([photo[:, :, 0], photo[:, :, 2]]), (1, 40, 50)), "float": (kit.floats(photo), (40, 90, 3)),
    }  # fmt: skip
    ways = [("cvsr-small", 2), ("cvsr-small", 1.5), ("vdsr", 2), ("bicubic", 3), ("fsrcnn", 3)]
    for model, scale in ways:
        upscaler = cvsr.Upscaler(model, scale, exact=True, threads=1)
        for name, (array, chunks) in arrays.items():
            made = book(f"{model} x{scale}/{name}/made", lazy.upscale, da.from_array(array, chunks=chunks), upscaler)
            if made is None:  # what cannot be done in chunks can be done whole
                made = lazy.upscale(da.from_array(array, chunks=-1), upscaler)
            book.note(f"{model} x{scale}/{name}/chunks", [list(made.chunks[0]), *map(list, made.chunks[1:])])
            if name in ("color", "stack", "gray"):
                book(f"{model} x{scale}/{name}", made.compute)
    upscaler = cvsr.Upscaler("bicubic", 2)
    book("no array", lazy.upscale, photo, upscaler)
    book("no upscaler", lazy.upscale, da.from_array(photo), "bicubic")
    book("int32", lazy.upscale, da.from_array(photo.astype(np.int32)), upscaler)
    book("channels=False", lambda: lazy.upscale(da.from_array(photo), upscaler, channels=False).shape)
    book("channels=True", lambda: lazy.upscale(da.from_array(photo[:, :, 0]), upscaler, channels=True).shape)
    _cluster(book)


def _cluster(book: kit.Book) -> None:
    from dask.distributed import LocalCluster

    Path("in").mkdir()
    for number in range(3):
        cv2.imwrite(f"in/{number}.png", kit.photo(width=40 + number))
    Path("in/broken.png").write_bytes(b"none")
    with contextlib.closing(LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None)) as cluster:
        where = ["--scheduler", cluster.scheduler_address]
        for number in (1, 2):
            book(f"cluster/run {number}", kit.code, "upscale", "in", "-o", "out/", "--exact", *where)
    book("cluster/names", kit.tree, Path("out"))
    for name in kit.tree(Path("out")):
        book(f"cluster/{name}", Path("out", name).read_bytes)
