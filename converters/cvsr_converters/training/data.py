"""Training pairs: folders of images prepared once into a memory-mapped cache, then random patches of them."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from cvsr import resample
from cvsr_converters.training.degrade import DEGRADATIONS, RANDOM, VARIANTS

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}
_VERSION = 1  # of the cache's format


def data_root():
    """Return the folder that ``CVSR_DATA`` names; raise FileNotFoundError, with what to do, where there is none."""
    root = os.environ.get("CVSR_DATA")
    if not root or not (Path(root) / "images").is_dir():
        raise FileNotFoundError(
            f"CVSR_DATA is {root!r}: set it to the folder that holds images/T91, images/Set5 and so on"
        )
    return Path(root)


def images(folders):
    """Return the image files of the folders, sorted. A folder is a path, or a name below ``CVSR_DATA``/images."""
    files = []
    for folder in folders:
        path = Path(folder) if Path(folder).is_dir() else data_root() / "images" / folder
        found = sorted(f for f in path.iterdir() if f.suffix.lower() in SUFFIXES)
        if not found:
            raise FileNotFoundError(f"no images in {path}")
        files += found
    return files


def luma(bgr):
    """Return full-range BT.601 luma of an 8-bit BGR or gray image as float32 0..255, not rounded."""
    if bgr.ndim == 2:
        return bgr.astype(np.float32)
    return bgr.astype(np.float32) @ np.array([0.114, 0.587, 0.299], np.float32)


def pair(path, scale, degradation="bicubic", variant=0):
    """Return (high, low) BGR uint8 of a file: cropped to a multiple of ``scale``; reduced as the degradation does.

    A degradation with chance in it gives another picture for each ``variant``, and the same for the same one.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise OSError(f"cannot read {path} as an image")
    height, width = (n - n % scale for n in image.shape[:2])
    image = image[:height, :width]
    random = np.random.default_rng([variant, *path.name.encode()])
    return image, DEGRADATIONS[degradation](image, scale, random)


@dataclass
class Pairs:
    """All training pairs of one scale in two flat arrays: ``high`` uint16 (luma * 256), ``low`` uint8 luma."""

    high: np.ndarray
    low: np.ndarray
    index: list  # per image: offset in low, height and width of low
    scale: int

    def sampler(self, patch, batch, seed):
        """Yield endless (low, high) float32 batches in 0..1: (N, p, p, 1) and sub-pixel planes (N, p, p, scale²)."""
        rng, s = np.random.default_rng(seed), self.scale
        usable = [(o, h, w) for o, h, w in self.index if h >= patch and w >= patch]
        share = np.array([h * w for _, h, w in usable], np.float64)
        share = np.cumsum(share / share.sum())
        views = [
            (self.low[o : o + h * w].reshape(h, w), self.high[o * s * s : (o + h * w) * s * s].reshape(h * s, w * s))
            for o, h, w in usable
        ]
        while True:
            low = np.empty((batch, patch, patch), np.uint8)
            high = np.empty((batch, patch * s, patch * s), np.uint16)
            for i, pick in enumerate(np.searchsorted(share, rng.random(batch))):
                small, large = views[min(pick, len(views) - 1)]
                y = int(rng.integers(small.shape[0] - patch + 1))
                x = int(rng.integers(small.shape[1] - patch + 1))
                turn = int(rng.integers(8))
                low[i] = _turned(small[y : y + patch, x : x + patch], turn)
                high[i] = _turned(large[y * s : (y + patch) * s, x * s : (x + patch) * s], turn)
            planes = (
                high.reshape(batch, patch, s, patch, s).transpose(0, 1, 3, 2, 4).reshape(batch, patch, patch, s * s)
            )
            yield low[..., None].astype(np.float32) / 255, planes.astype(np.float32) / (255 * 256)


def _turned(patch, turn):
    """Return one of the eight flips and quarter turns of a square patch."""
    patch = patch[:, ::-1] if turn & 1 else patch
    patch = patch[::-1] if turn & 2 else patch
    return patch.T if turn & 4 else patch


def prepare(folders, scale, cache, degradation="bicubic"):
    """Return the :class:`Pairs` of ``folders`` at ``scale``, from ``cache`` where it holds them already."""
    if degradation not in DEGRADATIONS:
        raise ValueError(f"no degradation is called {degradation!r}; there are: {', '.join(DEGRADATIONS)}")
    files = images(folders)
    variants = VARIANTS if degradation in RANDOM else 1
    listing = [(f.parent.name, f.name, f.stat().st_size) for f in files]
    what = [_VERSION, scale, listing] + ([degradation, variants] if degradation != "bicubic" else [])
    key = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]
    folder = Path(cache) / key
    if not (folder / "index.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        index, offset = [], 0
        with open(folder / "high.u16", "wb") as high_file, open(folder / "low.u8", "wb") as low_file:
            for path, variant in itertools.product(files, range(variants)):
                high, low = pair(path, scale, degradation, variant)
                np.rint(luma(high) * 256).astype(np.uint16).tofile(high_file)
                # rounded to 8 bits, because that is what the runtime feeds
                resample.to_uint8(luma(low)).tofile(low_file)
                index.append((offset, *low.shape[:2]))
                offset += low.shape[0] * low.shape[1]
        (folder / "index.json").write_text(json.dumps(index))  # last: its presence says that the rest is whole
    index = json.loads((folder / "index.json").read_text())
    return Pairs(
        np.memmap(folder / "high.u16", np.uint16, "r"), np.memmap(folder / "low.u8", np.uint8, "r"), index, scale
    )
