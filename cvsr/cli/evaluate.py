"""The verb ``cvsr eval``: measure models on test images, as a table or JSON."""

import argparse
import json
import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cvsr.evaluate import PROTOCOLS, ImageScore, ModelScore, check_options, evaluate, list_images
from cvsr.modelfiles.info import open_model
from cvsr.upscaler import Upscaler

DESCRIPTION = "Shrink test images, enlarge them again, and compare them with the originals."
EPILOG = ""

_ROW = "{:<16}  {:>5}  {:<18}  {:>6}  {:>6}  {:>6}  {:>7}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``cvsr eval``."""
    add = parser.add_argument
    add("models", nargs="+", metavar="MODEL", help="a bundled model, a model file, or an interpolation such as bicubic")
    add("--data", nargs="+", required=True, type=Path, metavar="FOLDER", help="folders of images, such as Set5")
    add("-s", "--scale", nargs="+", type=int, metavar="SCALE", help="default: a model file's own, else 2")
    add("--protocol", choices=PROTOCOLS, default=PROTOCOLS[0], help="how to shrink and compare; default literature")
    add(
        "-d",
        "--device",
        default="auto",
        metavar="DEVICE",
        help="auto, cpu, cuda, opencl, … (see cvsr doctor); default auto",
    )
    add("--per-image", action="store_true", help="also show every image")
    add("--json", action="store_true", help="print JSON instead of a table")


def main(args: argparse.Namespace) -> int:
    """Run ``cvsr eval`` on parsed arguments, write to stdout, return the exit code; raise what went wrong."""
    for folder in args.data:
        list_images(folder)  # report a wrong folder before minutes of work
    results = _run_all(args.models, args.scale, args.data, args.protocol, args.device)
    if args.json:
        json.dump([to_json(result, per_image=args.per_image) for result in results], sys.stdout, indent=2)
        sys.stdout.write("\n")
        return 0
    for line in table(results, per_image=args.per_image):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    return 0


def to_json(result: ModelScore, *, per_image: bool = False) -> dict[str, Any]:
    """Return a result as JSON takes it (an infinite PSNR becomes None), with every image's score if ``per_image``."""
    means: dict[str, Any] = {"psnr": _finite(result.psnr), "ssim": result.ssim, "seconds": result.seconds}
    fields = vars(result) | means | {"images": len(result.images)}
    if per_image:
        fields["per_image"] = [asdict(image) | {"psnr": _finite(image.psnr)} for image in result.images]
    return fields


def table(results: Iterable[ModelScore], *, per_image: bool = False) -> Iterator[str]:
    """Yield the lines of a table of results, each as soon as its result is there."""
    yield _ROW.format("model", "scale", "dataset", "PSNR", "SSIM", "images", "seconds")
    for result in results:
        for image in result.images if per_image else ():
            yield _row(result, f"  {image.name}", image, 1)
        yield _row(result, result.dataset, result, len(result.images))


def _row(result: ModelScore, dataset: str, score: ModelScore | ImageScore, images: int) -> str:
    psnr, ssim, seconds = f"{score.psnr:.2f}", f"{score.ssim:.4f}", f"{score.seconds:.2f}"
    return _ROW.format(result.model, result.scale, dataset, psnr, ssim, images, seconds)


def _run_all(
    models: list[str], scales: list[int] | None, folders: list[Path], protocol: str, device: str
) -> Iterator[ModelScore]:
    for model in models:
        is_file = Path(model).is_file()
        for scale in scales or [open_model(model).scale if is_file else 2]:
            check_options(scale, protocol)
            upscaler = Upscaler(model, scale, device=device)
            upscaler.warmup()  # the seconds are without loading and the first forward
            name = Path(model).stem if is_file else model
            for folder in folders:
                yield evaluate(upscaler, folder, scale, protocol, name=name)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
