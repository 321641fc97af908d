"""The verb ``cvsr video``: enlarge a film, with a progress bar and a summary."""

import argparse
import os
import re
import signal
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from cvsr.cli import arguments
from cvsr.cli.bar import Bar
from cvsr.cli.signals import notes_to, stopped_by_signals
from cvsr.errors import FileError, OptionError, install_hint
from cvsr.inference.stages import Progress
from cvsr.upscaler import Upscaler
from cvsr.video import film, opencv_film, preview, pyav
from cvsr.video.film import FilmResult, Task
from cvsr.video.source import enlarger

DESCRIPTION = "Enlarge a film: decode, upscale and encode at the same time."
EPILOG = f"""examples:
  cvsr video film.mp4 large.mp4                      keeps sound, subtitles, times and colors
  cvsr video film.mp4 look.mp4 --preview             three seconds, the left half by plain interpolation
  cvsr video film.mp4 large.mp4 --resume             continues an earlier run that was stopped or killed
  cvsr video film.mp4 large.mkv --codec hevc --crf 22 --start 1:30 --end 2:00

Finished parts are kept in OUT.parts/ until the film is complete. Needs PyAV:
{install_hint("video")}; without it, OpenCV writes the
pictures alone.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``cvsr video``."""
    add = parser.add_argument
    add("input", metavar="IN", help="a film")
    add("output", metavar="OUT", help="the result: .mp4, .mov, .mkv or .webm")
    add("-s", "--scale", type=float, help="factor, any number; default 2")
    arguments.add_model(parser)
    add("--codec", help="h264, hevc, av1, vp9, ffv1, … or an encoder's name; default: by OUT and the bit depth of IN")
    add("--crf", type=float, help="quality for h264, hevc, av1, vp9: lower is better and larger; default 18 to 25")
    add("--start", type=_time, metavar="TIME", help="where to begin: seconds, 1:30 or 0:01:30.5")
    add("--end", type=_time, metavar="TIME", help="where to stop")
    add("--preview", action="store_true", help="write three seconds only, the left half by plain interpolation")
    add("--overwrite", action="store_true", help="replace OUT, and discard the parts of an earlier run")
    add("--resume", action="store_true", help="continue with the parts of an earlier run that was stopped or killed")
    arguments.add_effort(parser)


def main(args: argparse.Namespace) -> int:
    """Run ``cvsr video`` and return the exit code; raise what is wrong with the arguments or the machine."""
    os.environ.setdefault("SVT_LOG", "1")  # errors only
    task = _task(args)
    bar = Bar(sys.stderr)
    with stopped_by_signals() as caught, notes_to(bar):
        try:
            if task.resume and task.target.exists() and not _parts(task).exists():
                bar.say(f"cvsr: {task.target} is complete: nothing to do (--overwrite makes it anew)")
                return 0
            outcome, whole = _run(task, args, bar)
        except KeyboardInterrupt:  # before the first frame, or a second time
            bar.say("cvsr: stopped" + (f"; --resume continues with {_parts(task)}" if _parts(task).exists() else ""))
            return 128 + (caught[0] if caught else signal.SIGINT)
        _say(task, outcome, whole, bar)
        return 128 + (caught[0] if caught else signal.SIGINT) if outcome.stopped else 0


def _task(args: argparse.Namespace) -> Task:
    source, target = Path(args.input), Path(args.output)
    if source.exists() and target.exists() and source.samefile(target):
        raise OptionError(f"{target} is the input: give the result another name")
    if args.end is not None and args.end <= (args.start or 0):
        raise OptionError("--end must be after --start")
    task = Task(
        source, target, args.codec, args.crf, args.start, args.end, args.resume, args.overwrite,
        "preview" if args.preview else "film",
    )  # fmt: skip
    if target.exists() and not (args.overwrite or args.resume):
        more = ", --resume continues" if _parts(task).exists() else ""
        raise FileError(f"{target} exists already: --overwrite replaces it{more}")
    return task


def _parts(task: Task) -> Path:
    return film.Parts(task.target).folder


def _run(task: Task, args: argparse.Namespace, bar: Bar) -> tuple[FilmResult, Fraction]:
    """Return the result, and the number of frames of the whole film (0 if that does not matter)."""
    upscaler = Upscaler(args.model, args.scale, device=args.device, effort=args.effort)
    enlarge, whole = enlarger(upscaler), Fraction(0)
    if args.preview:
        if pyav.find() is None:
            raise OptionError(f"--preview needs PyAV, which is not installed: {pyav.REMEDY}")
        facts = film.Reader(task.source).facts
        start, end = preview.span(task.start, task.end, facts.duration)
        task, whole = replace(task, start=start, end=end), Fraction(facts.frames)
        enlarge = preview.split(enlarge, upscaler)
    shown: list[Progress] = []

    def progress(step: Progress) -> None:
        if not shown:  # the frames that an earlier run did
            bar.start(task.source.name, "frames", step.done)
            shown.append(step)
        bar.progress(step)

    convert = opencv_film.convert if pyav.find() is None else film.convert
    return convert(task, upscaler, enlarge, progress=progress, note=bar.note), whole


def _say(task: Task, outcome: FilmResult, whole: Fraction, bar: Bar) -> None:
    speed = outcome.new / max(outcome.seconds, 1e-9)
    size = f"{outcome.size[0]}x{outcome.size[1]}"
    if outcome.stopped:
        what = f"{task.target} has the first {outcome.frames} frames" if outcome.frames else "nothing was written"
        how = "; run it again with --resume to continue" if _parts(task).exists() else ""
        bar.say(f"cvsr: stopped: {what}{how}")
        return
    text = f"cvsr: {task.target}: {outcome.frames} frames of {size}, {speed:.1f} frames/s"
    if whole:
        text += f"; the whole film would take about {_clock(float(whole) / max(speed, 1e-9))}"
    bar.say(text)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _time(text: str) -> Fraction:
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d+)?", text):
        raise argparse.ArgumentTypeError(f"invalid time {text!r}: use seconds, 1:30 or 0:01:30.5")
    total = Fraction(0)
    for part in text.split(":"):
        total = total * 60 + Fraction(part)
    return total
