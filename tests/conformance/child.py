"""Upscale kinds of images by models, in the environment that runs this, and save what came out.

Run by the conformance suite as ``python child.py SCOPE INPUT.npz OUTPUT.npz MODEL_FILE…``; needs numpy, OpenCV and cvsr
only. SCOPE is ``long``: every kind of image by every model; ``models``: every model, and every kind by those that stand
for the others; or ``kinds``: the latter only.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

import cvsr
from cvsr._cv2 import cv2
from cvsr.modelfiles import zoo

TILES = {"whole": 0, "tiled": 48}  # the side of a tile; 0 for none


KINDS = ("gray", "bgr", "bgra", "uint16", "float32")


def models(scope: str, files: list[str]) -> list[tuple[str, str, int, tuple[str, ...]]]:
    """(key, model, scale, kinds of images) of bundled models, of the files, and of an interpolation."""
    bundled = [(entry.name, entry.family, entry.scale) for entry in zoo.models()]
    given = [(Path(file).stem, file, 2) for file in files]
    chosen = {*representatives(), *(key for key, *_ in given), "lanczos"}
    found = []
    for key, *rest in [*bundled, *given, ("lanczos", "lanczos", 2)]:
        if key in chosen or scope != "kinds":
            found.append((key, *rest, KINDS if key in chosen or scope == "long" else ("bgr",)))
    return found


def representatives() -> set[str]:
    """The smallest network of each way to be fed and to give its picture: what depends on the kind of an image."""
    ways: dict[tuple[object, ...], tuple[int, str]] = {}
    for entry in zoo.models():
        info = cvsr.open_model(entry.path)
        way, size = (info.channels, info.color, info.inputs, info.tail, info.range), entry.path.stat().st_size
        ways[way] = min(ways.get(way, (size, entry.name)), (size, entry.name))
    return {"cvsr-small_x2", *(name for _, name in ways.values())}


class Recorder:
    """Collect the results of the runs, and how many tiles each took."""

    def __init__(self, images: dict[str, np.ndarray]) -> None:
        self.images = images
        self.results: dict[str, np.ndarray] = {}
        self.tiles: dict[str, int] = {}

    def run(self, key: str, model: str, scale: int, kinds: tuple[str, ...]) -> None:
        """Upscale the images the exact way and the fast way, each in one piece and in tiles."""
        for way in ("exact", "fast"):
            for pieces, tile in TILES.items():
                upscaler = cvsr.Upscaler(model, scale, device="cpu", exact=way == "exact", tile=tile)
                for kind in kinds:
                    self._one(f"{key}/{kind}/{way}-{pieces}", upscaler, self.images[kind])

    def _one(self, name: str, upscaler: cvsr.Upscaler, image: np.ndarray) -> None:
        self.results[name] = upscaler(image, progress=lambda progress: self.tiles.update({name: progress.total}))


def main(scope: str, source: str, target: str, files: list[str]) -> None:
    """Save one array ``key/kind/way-pieces`` for each run, and print what ran as JSON."""
    recorder = Recorder(dict(np.load(source)))
    for model in models(scope, files):
        recorder.run(*model)
    np.savez(target, **recorder.results)
    keys = [key for key, *_ in models(scope, files)]
    print(json.dumps({"opencv": cv2.__version__, "python": sys.version, "models": keys, "tiles": recorder.tiles}))


if __name__ == "__main__":
    main(*sys.argv[1:4], sys.argv[4:])
