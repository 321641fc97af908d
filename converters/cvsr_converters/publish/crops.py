"""Crops of photos, enlarged by several models beside the original, to be judged by eye.

``python -m cvsr_converters.publish.crops bicubic models/esrgan/esrgan_x4.onnx --crop photo.png:240,60,96 -o crops.png``

Each photo is made small, by antialiased bicubic interpolation as the literature does, or as ``--degradation`` says, and
enlarged again as a whole; the crop, ``x,y,side`` in pixels of the photo, is cut from the results. Below each stand the
PSNR of luma over the whole photo and, where the extra ``perceptual`` is installed, LPIPS (0 for equal pictures).
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

import cvsr
from cvsr import evaluate
from cvsr_converters.targets import write_atomic
from cvsr_converters.training import data, perceptual

ZOOM, LINE, GAP = 2, 22, 8  # of the crops; pixels for a line of text; between crops


def made(path, models, scale, degradation="bicubic"):
    """Return [(name, the photo enlarged from ``scale`` times smaller, PSNR, LPIPS or None)], the original last."""
    reference, small = data.pair(path, scale, degradation)
    rows = []
    for model in models:
        result = cvsr.Upscaler(model, scale)(small)
        psnr = evaluate.compare(reference, result, scale)[0]
        rows.append((Path(model).stem, result, psnr, distance(reference, result)))
    return [*rows, ("original", reference, None, None)]


def distance(one, other):
    """Return LPIPS of two BGR uint8 images, or None where its weights are not installed."""
    try:
        return perceptual.lpips(*(image[:, :, ::-1] / np.float32(255) for image in (one, other)))
    except FileNotFoundError:
        return None


def cell(name, result, numbers, box):
    """Return the picture of one crop with its words below it."""
    x, y, side = box
    crop = cv2.resize(result[y : y + side, x : x + side], None, fx=ZOOM, fy=ZOOM, interpolation=cv2.INTER_NEAREST)
    words = np.full((2 * LINE, crop.shape[1], 3), 255, np.uint8)
    for row, text in enumerate((name, numbers)):
        place = (2, (row + 1) * LINE - 7)
        cv2.putText(words, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([crop, words])


def page(crops, models, scale, degradation="bicubic"):
    """Return the page, BGR uint8: a row for each of ``crops``, (path, (x, y, side)), a column for each model."""
    rows = []
    for path, box in crops:
        cells = []
        for name, result, psnr, lpips in made(path, models, scale, degradation):
            numbers = "" if psnr is None else f"{psnr:.2f} dB" + ("" if lpips is None else f"   LPIPS {lpips:.3f}")
            cells.append(cell(name, result, numbers, box))
        gap = np.full((cells[0].shape[0], GAP, 3), 255, np.uint8)
        rows.append(np.hstack([part for one in cells for part in (one, gap)]))
    if len({row.shape for row in rows}) > 1:
        raise ValueError("give all crops the same side, one that their photos have room for")
    return np.vstack(rows)


def _crop(text):
    path, _, box = text.rpartition(":")
    x, y, side = (int(number) for number in box.split(","))
    return Path(path), (x, y, side)


def main(argv=None):
    """Write the page; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m cvsr_converters.publish.crops",
        description="Write a page of crops of photos, upscaled by several models.",
    )
    parser.add_argument("models", nargs="+", help="names, or paths of files")
    parser.add_argument("--crop", type=_crop, action="append", required=True, metavar="PHOTO:X,Y,SIDE")
    parser.add_argument("-s", "--scale", type=int, default=4)
    parser.add_argument("--degradation", choices=data.DEGRADATIONS, default="bicubic", help="how photos become small")
    parser.add_argument("-o", "--output", type=Path, required=True, help="a .png or .jpg")
    args = parser.parse_args(argv)
    image = page(args.crop, args.models, args.scale, args.degradation)
    write_atomic(args.output, cv2.imencode(args.output.suffix, image)[1].tobytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
