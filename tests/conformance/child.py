"""Upscale every kind of image by every model, in the environment that runs this, and save what came out.

Run by the conformance suite as ``python child.py INPUT.npz OUTPUT.npz MODEL_FILE…``; needs numpy, OpenCV and cvsr only.
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


def models(files: list[str]) -> list[tuple[str, str, int]]:
    """(key, model, scale) of every bundled model, of the files, and of an interpolation."""
    bundled = [(entry.name, entry.family, entry.scale) for entry in zoo.models()]
    given = [(Path(file).stem, file, 2) for file in files]
    return [*bundled, *given, ("lanczos", "lanczos", 2)]


class Recorder:
    """Collect the results of the runs, and how many tiles each took."""

    def __init__(self, images: dict[str, np.ndarray]) -> None:
        self.images = images
        self.results: dict[str, np.ndarray] = {}
        self.tiles: dict[str, int] = {}

    def run(self, key: str, model: str, scale: int) -> None:
        """Upscale every image the exact way and the fast way, each in one piece and in tiles."""
        for way in ("exact", "fast"):
            for pieces, tile in TILES.items():
                upscaler = cvsr.Upscaler(model, scale, device="cpu", exact=way == "exact", tile=tile)
                for kind, image in self.images.items():
                    self._one(f"{key}/{kind}/{way}-{pieces}", upscaler, image)

    def _one(self, name: str, upscaler: cvsr.Upscaler, image: np.ndarray) -> None:
        self.results[name] = upscaler(image, progress=lambda progress: self.tiles.update({name: progress.total}))


def main(source: str, target: str, files: list[str]) -> None:
    """Save one array ``key/kind/way-pieces`` for each run, and print what ran as JSON."""
    recorder = Recorder(dict(np.load(source)))
    for model in models(files):
        recorder.run(*model)
    np.savez(target, **recorder.results)
    keys = [key for key, *_ in models(files)]
    print(json.dumps({"opencv": cv2.__version__, "python": sys.version, "models": keys, "tiles": recorder.tiles}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
