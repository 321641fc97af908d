"""The verb ``cvsr bench``: how fast models run here, beside other runtimes on the same files."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass, replace

from cvsr import machine as processor
from cvsr._cv2 import cv2
from cvsr.bench import cost, peers, race
from cvsr.bench.race import Contestant, Spec
from cvsr.cli import arguments
from cvsr.errors import OptionError, install_hint
from cvsr.modelfiles import zoo

DESCRIPTION = """Time models on this machine. Contestants are processes that take turns; the table
shows medians, half the interquartile range, and the median of the ratios within
each round."""
EPILOG = f"""examples:
  cvsr bench cvsr-small --against onnxruntime,openvino
  cvsr bench FSRCNN_x2.pb --against dnn_superres --memory 1280x720
  cvsr bench cvsr-small --layers                         where its time goes
  cvsr bench cvsr-small --python opencv5/bin/python      also on the OpenCV of another environment
other runtimes: {install_hint("bench")}
"""


@dataclass(frozen=True)
class _Row:
    contestant: str
    version: str
    size: tuple[int, int]
    milliseconds: float
    per_megapixel: float
    spread: float
    speed: float
    megabytes: int | None
    of_peak: float | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``cvsr bench``."""
    add = parser.add_argument
    add("models", nargs="*", default=["cvsr-small"], metavar="MODEL", help="names or files; default cvsr-small")
    add("-s", "--scale", type=int, help="for models that have several scales; default 2, or the file's own")
    add("--size", action="append", metavar="WxH", help="size of the image; default 640x360; can be repeated")
    add("--against", default="", metavar="NAMES", help=f"compare with {', '.join([*peers.RUNTIMES, 'dnn_superres'])}")
    add("--python", action="append", default=[], metavar="PATH", help="also cvsr on the OpenCV of another Python")
    add("--what", choices=["picture", "gray"], default="picture", help="8-bit color (default) or gray")
    add("--threads", type=int, default=0, help="threads of each contestant; default: OpenCV's")
    add("--rounds", type=int, default=15, help="turns of each contestant; default 15")
    add("--memory", metavar="WxH", help="also measure the peak memory of a new process for an image of this size")
    add("--exact", action="store_true", help="run cvsr with exact=True")
    add("--layers", action="store_true", help="instead, time the network layer by layer, on one tile and one thread")
    add("--json", action="store_true", help="print JSON instead of a table")


def main(args: argparse.Namespace) -> int:
    """Run the contestants, print the table; return 0, or 1 if one of them failed."""
    if args.layers:
        return _profiles(args)
    wanted = args.size or ["640x360"]
    sizes = [_size(text) for text in wanted]
    memory = _size(args.memory) if args.memory else None
    threads = args.threads or cv2.getNumThreads()
    contestants = [each for size in sizes for each in _contestants(args, size, several=len(sizes) > 1)]
    finished = race.run(contestants, max(1, args.rounds))
    for contestant in finished:
        contestant.peak = race.peak_memory(contestant, memory) if memory else 0
    speed = cost.machine(threads)
    rows = [_row(each, finished[0], speed) for each in finished]
    problems = {each.label: each.problem for each in contestants if each.problem}
    if args.json:
        machine = {"processor": processor.name(), "threads": threads, "macs_per_second": speed}
        print(json.dumps({"machine": machine, "rows": [asdict(row) for row in rows], "problems": problems}, indent=2))
    else:
        print(f"{processor.name()}, {threads} threads, {', '.join(wanted)}, {args.what}\n")
        print(_table(rows))
    for label, problem in problems.items():
        print(f"cvsr: {label}: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _profiles(args: argparse.Namespace) -> int:
    from cvsr.bench import layers

    speed = cost.machine(1)
    found: dict[str, object] = {}
    for model in args.models:
        info = zoo.chosen(model, args.scale)
        side, rows = layers.profile(info)
        total = sum(row.seconds for row in rows)
        lines = [["layer", "kind", "ms", "share", "GMAC/s", "of peak"]]
        for row in rows:
            rate = row.macs / row.seconds if row.macs else 0
            numbers = [f"{row.seconds * 1e3:.2f}", f"{row.seconds / total:.0%}"]
            numbers += [f"{rate / 1e9:.1f}", f"{rate / speed:.0%}"] if rate else ["-", "-"]
            lines.append([row.name, row.kind, *numbers])
        found[info.name] = {"side": side, "layers": [asdict(row) for row in rows]}
        if not args.json:
            print(f"{info.name}, a tile of {side}x{side} pixels with its halo, one thread: {total * 1e3:.1f} ms")
            print(f"{processor.name()}, OpenCV {cv2.__version__}; a matrix product makes {speed / 1e9:.1f} GMAC/s\n")
            print(_aligned(lines) + "\n")
    if args.json:
        print(json.dumps({"macs_per_second": speed, "models": found}, indent=2))
    return 0


def _contestants(args: argparse.Namespace, size: tuple[int, int], *, several: bool) -> list[Contestant]:
    threads = args.threads or cv2.getNumThreads()
    kinds = [name for name in args.against.split(",") if name]
    unknown = [name for name in kinds if name not in (*peers.RUNTIMES, "dnn_superres")]
    if unknown:
        raise OptionError(f"--against {unknown[0]}: there are {', '.join([*peers.RUNTIMES, 'dnn_superres'])}")
    found: list[Contestant] = []
    for model in args.models:
        info = zoo.chosen(model, args.scale)
        file = model if model in zoo.families() else str(info.path)
        own = Spec("cvsr", file, info.scale, size, args.what, threads, args.exact)
        macs = cost.macs(info, size)
        name = f"{info.name}, {size[0]}x{size[1]}" if several else info.name
        found += [Contestant(f"{name}, cvsr", own, macs, path) for path in [sys.executable, *args.python]]
        if info.format != "interpolation":
            found += [
                Contestant(f"{name}, {kind}", replace(own, kind=kind), macs)
                for kind in kinds
                if kind != "dnn_superres" or info.format == "pb"
            ]
    return found


def _row(each: Contestant, first: Contestant, speed: float) -> _Row:
    width, height = each.spec.size
    return _Row(
        contestant=each.label,
        version=each.version,
        size=each.spec.size,
        milliseconds=round(each.median * 1e3, 1),
        per_megapixel=round(each.median * 1e9 / (width * height), 1),
        spread=round(each.spread, 3),
        speed=round(each.speed_of(first), 2),
        megabytes=round(each.peak / 2**20) or None,
        of_peak=round(each.macs / each.median / speed, 2) if each.macs else None,
    )


def _table(rows: list[_Row]) -> str:
    lines = [["contestant", "version", "ms", "ms/MP", "+-", "speed", "MB", "of peak"]]
    for row in rows:
        numbers = [f"{row.milliseconds:.1f}", f"{row.per_megapixel:.0f}", f"{row.spread:.0%}", f"{row.speed:.2f}"]
        rest = [str(row.megabytes or "-"), "-" if row.of_peak is None else f"{row.of_peak:.0%}"]
        lines.append([row.contestant, row.version, *numbers, *rest])
    return _aligned(lines)


def _aligned(lines: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), line[1].ljust(widths[1]), *map(str.rjust, line[2:], widths[2:])])
        for line in lines
    )


def _size(text: str) -> tuple[int, int]:
    try:
        return arguments.size_of(text)
    except argparse.ArgumentTypeError as error:
        raise OptionError(str(error)) from error
