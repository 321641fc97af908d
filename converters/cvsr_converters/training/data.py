"""Training pairs: folders of images prepared once into a memory-mapped cache, then random patches of them."""

import contextlib
import hashlib
import itertools
import json
import logging
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from cvsr.image import resample
from cvsr.opencv import threads
from cvsr_converters.training.degrade import DEGRADATIONS, RANDOM, VARIANTS

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}
_VERSION = 2  # of the cache's format
_SAYS = logging.getLogger(__name__)


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


def pair(path, scale, degradation="bicubic", variant=0, shrink=1.0):
    """Return (high, low) BGR uint8 of a file: cropped to a multiple of ``scale``; reduced as the degradation does.

    A degradation with chance in it gives another picture for each ``variant``, and the same for the same one.
    ``shrink`` reduces the file's image before that: it becomes sharper, and what JPEG did to it disappears.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise OSError(f"cannot read {path} as an image")
    if shrink != 1:
        height, width = (round(n * shrink) for n in image.shape[:2])
        image = resample.to_uint8(resample.resize(image, (width, height)))
    height, width = (n - n % scale for n in image.shape[:2])
    image = image[:height, :width]
    random = np.random.default_rng([variant, *path.name.encode()])
    return image, DEGRADATIONS[degradation](image, scale, random)


@dataclass(frozen=True)
class Wanted:
    """What a network is trained with. ``color``: "luma" or "rgb". ``levels``: the scales of its outputs.

    ``enlarged``: it reads the image enlarged by bicubic interpolation.
    """

    scale: int
    color: str = "luma"
    enlarged: bool = False
    levels: tuple[int, ...] = ()

    @property
    def channels(self):
        """Return how many channels the pictures have."""
        return 1 if self.color == "luma" else 3


def pictures(image, low, wanted, teacher=None):
    """Return {"low": uint8, "x2": …, "x4": …, "enlarged": …} of a pair: what one image is to a network, (H, W, C) each.

    Targets are named by their scale; they and the enlarged image are uint16, 256 times 0..255: luma is not rounded.
    The target of the largest scale is blended with what a :class:`~.teacher.Teacher` makes of it.
    """
    convert = luma if wanted.color == "luma" else (lambda bgr: np.float32(bgr[:, :, ::-1]))
    small = resample.to_uint8(convert(low))  # 8 bits, because that is what the runtime feeds
    found = {"low": small, f"x{wanted.scale}": convert(image)}
    for level in wanted.levels:
        if level != wanted.scale:
            size = (low.shape[1] * level, low.shape[0] * level)
            found[f"x{level}"] = convert(resample.to_uint8(resample.resize(image, size)))
    if teacher:
        small, target = (x.reshape(*x.shape[:2], wanted.channels) for x in (small, found[f"x{wanted.scale}"]))
        found[f"x{wanted.scale}"] = teacher.blended(small, target)
    if wanted.enlarged:
        # as the runtime does it, not as the literature does: OpenCV's kernel is the sharper one
        found["enlarged"] = cv2.resize(np.float32(small), image.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    return {
        key: (value if key == "low" else np.rint(np.clip(value, 0, 255) * 256).astype(np.uint16)).reshape(
            *value.shape[:2], wanted.channels
        )
        for key, value in found.items()
    }


def unit(made):
    """Return what :func:`pictures` makes as float32 0..1."""
    return {key: np.float32(value) / (255 if key == "low" else 255 * 256) for key, value in made.items()}


class Pairs:
    """All training pairs for one kind of network, memory-mapped."""

    def __init__(self, folder, wanted):
        self.wanted = wanted
        # of each image: the first pixel, height and width in low resolution, and the number of its folder
        self.index = json.loads((folder / "index.json").read_text())
        self.factors = {"low": 1} | {f"x{level}": level for level in {wanted.scale, *wanted.levels}}
        if wanted.enlarged:
            self.factors["enlarged"] = wanted.scale
        self.flat = {
            key: np.memmap(folder / f"{key}.raw", np.uint8 if key == "low" else np.uint16, "r") for key in self.factors
        }

    def _view(self, key, first, height, width):
        channels, factor = self.wanted.channels, self.factors[key]
        start = first * factor**2 * channels
        return self.flat[key][start : start + height * width * factor**2 * channels].reshape(
            height * factor, width * factor, channels
        )

    def sampler(self, patch, batch, seed, weights=()):
        """Yield endless batches {"low": …, "x2": …}: float32 (N, p, p, C) in 0..1 and (N, p·scale, p·scale, C).

        Patches are as likely as their image is large; ``weights`` are factors to that, one for each folder.
        """
        rng = np.random.default_rng(seed)
        usable = [row for row in self.index if row[1] >= patch and row[2] >= patch]
        if not usable:
            raise ValueError(f"no training image is as large as a patch of {patch} pixels at low resolution")
        share = np.array([h * w * (weights[folder] if weights else 1) for _, h, w, folder in usable], np.float64)
        share = np.cumsum(share / share.sum())
        views = [{key: self._view(key, *row[:3]) for key in self.factors} for row in usable]
        while True:
            made = {
                key: np.empty((batch, patch * f, patch * f, self.wanted.channels), self.flat[key].dtype)
                for key, f in self.factors.items()
            }
            for i, pick in enumerate(np.searchsorted(share, rng.random(batch))):
                view = views[min(pick, len(views) - 1)]
                y, x = (int(rng.integers(side - patch + 1)) for side in view["low"].shape[:2])
                turn = int(rng.integers(8))
                for key, f in self.factors.items():
                    made[key][i] = turned(view[key][y * f : (y + patch) * f, x * f : (x + patch) * f], turn)
            yield unit(made)


def turned(patch, turn):
    """Return one of the eight flips and quarter turns of an image."""
    patch = patch[:, ::-1] if turn & 1 else patch
    patch = patch[::-1] if turn & 2 else patch
    return patch.swapaxes(0, 1) if turn & 4 else patch


def prepare(folders, wanted, cache, degradation="bicubic", shrink=(1.0,), teacher=None):
    """Return the :class:`Pairs` of ``folders`` that are ``wanted``, from ``cache`` where it holds them already.

    Each image is there once for each factor of ``shrink``, and several times where the degradation has chance in it.
    A :class:`~.teacher.Teacher` is blended into the targets.
    """
    if degradation not in DEGRADATIONS:
        raise ValueError(f"no degradation is called {degradation!r}; there are: {', '.join(DEGRADATIONS)}")
    files = [(number, file) for number, folder in enumerate(folders) for file in images([folder])]
    variants = VARIANTS if degradation in RANDOM else 1
    listing = [(f.parent.name, f.name, f.stat().st_size) for _, f in files]
    what = [
        _VERSION,
        asdict(wanted),
        listing,
        degradation,
        variants,
        list(shrink),
        *(teacher.key(wanted.scale) if teacher else ()),
    ]
    folder = Path(cache) / hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]
    if not (folder / "index.json").exists():
        _SAYS.info("preparing %d images in %s, once", len(files), folder)
        with tempfile.TemporaryDirectory(dir=_made(cache)) as unfinished:  # two runs may prepare the same at once
            _write(Path(unfinished), files, wanted, degradation, variants, shrink, teacher)
            with contextlib.suppress(OSError):  # the other was first
                Path(unfinished).rename(folder)
            Path(unfinished).mkdir(exist_ok=True)
    return Pairs(folder, wanted)


def _made(folder):
    Path(folder).mkdir(parents=True, exist_ok=True)
    return folder


def _write(folder, files, wanted, degradation, variants, shrink, teacher):
    def made_of(job):
        (number, path), variant, factor = job
        return number, pictures(*pair(path, wanted.scale, degradation, variant, factor), wanted, teacher)

    index, first, streams = [], 0, {}
    with contextlib.ExitStack() as stack:
        # most images are one tile to a teacher: several at a time keep all cores busy
        workers = stack.enter_context(ThreadPoolExecutor(threads.count()))
        for number, made in workers.map(made_of, itertools.product(files, range(variants), shrink)):
            for key, pixels in made.items():
                if key not in streams:
                    streams[key] = stack.enter_context(open(folder / f"{key}.raw", "wb"))
                np.ascontiguousarray(pixels).tofile(streams[key])
            height, width = made["low"].shape[:2]
            index.append((first, height, width, number))
            first += height * width
    (folder / "index.json").write_text(json.dumps(index))
