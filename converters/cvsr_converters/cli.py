"""The verb ``cvsr convert``: parse the arguments, convert, print the report. An entry point adds it to ``cvsr``."""

import ast
import sys
from pathlib import Path

from cvsr.errors import ModelError, OptionError
from cvsr_converters.targets import write_atomic

DESCRIPTION = """Convert a trained super-resolution model into a file that every OpenCV can run, and verify the result.

Reads Keras (.keras, .h5), SavedModel and TF-Hub folders, frozen graphs (.pb), TF1 and TF2 checkpoints, TF.js layers
models, TFLite, ONNX, and PyTorch through spandrel. Nothing is written unless OpenCV's output matches the original's."""
EPILOG = """examples:
  cvsr convert model.keras -o model_x2.onnx
  cvsr convert saved_model/ -o model_x4.onnx --opencv 4.8.1.78,4.14.0.94,5.0.0.93
  cvsr convert weights.h5 -o espcn_x3.onnx --network espcn:scale=3,channels=3
  cvsr convert srcnn.h5 -o srcnn_x2.onnx --scale 2       a network that expects an enlarged image
  cvsr convert model.keras -o FSRCNN_x2.pb --to pb       for cv2.dnn_superres
  cvsr convert model.keras -o plain_x2.onnx --to standalone      8-bit BGR in and out, for C++, Java, JavaScript
exit codes: 0 written, 1 not written because verification failed, 2 refused, with the reason"""


def add_arguments(parser):
    """Declare the verb's arguments."""
    add = parser.add_argument
    add("source", metavar="SOURCE", help="a model file or folder, or the common prefix of a checkpoint's files")
    add("-o", "--output", type=Path, required=True, metavar="OUT", help="the file to write")
    add("--to", choices=("onnx", "standalone", "pb"), help="default: pb for OUT.pb, else onnx")
    add("--scale", type=int, help="upscaling factor, if the model itself does not state it")
    add("--color", choices=("luma", "ycrcb", "ycbcr", "rgb", "bgr"), help="input color; default: detected on a photo")
    add("--range", type=int, choices=(1, 255), help="the value of white; default: detected on a photo")
    add("--mean", type=_numbers, metavar="M[,M,M]", help="subtracted from each channel, in units of the range")
    add(
        "--network",
        type=_network,
        metavar="NAME[:OPTION=VALUE,…]",
        help="the network that a weights-only file belongs to",
    )
    add("--outputs", type=_words, default=(), metavar="NAME[,NAME]", help="the outputs to convert")
    add("--signature", metavar="NAME", help="a signature of the SavedModel")
    add("--feed", type=_feed, action="append", default=[], metavar="NAME=VALUE", help="value of a non-image input")
    add("--opencv", type=_words, default=(), metavar="VERSION[,…]", help="also verify in these (pip-installed once)")
    add("--half", action="store_true", help="store the weights in 16 bits, to halve the file")
    add("--trust", action="store_true", help="let code in the file run: only for files that you trust")
    add("--timeout", type=float, default=3600, metavar="SECONDS", help="give up after this time; default 3600")
    add("--max-memory", default="12G", metavar="SIZE", help="memory limit of the conversion; default 12G")
    add("--report", type=Path, metavar="FILE", help="also write the report to FILE: .md (for a model card) or .json")


def main(args):
    """Convert; return the exit code."""
    from cvsr_converters.conversion.convert import convert

    name, options = args.network or (None, {})
    try:
        if args.report and args.report.suffix not in (".md", ".json"):
            raise OptionError(f"invalid report name {args.report.name}: it must end in .md or .json")
        report = convert(
            args.source, args.output, to=args.to or ("pb" if args.output.suffix.lower() == ".pb" else "onnx"),
            scale=args.scale, color=args.color, range=args.range, mean=args.mean, network=name, network_options=options,
            outputs=args.outputs, signature=args.signature, feeds=dict(args.feed), opencv=args.opencv, half=args.half,
            trust=args.trust, timeout=args.timeout, max_memory=args.max_memory,
            say=lambda text: print(f"{text} …", file=sys.stderr),
        )  # fmt: skip
    except (ModelError, OptionError) as error:
        print(f"cvsr convert: {args.source}: {error}", file=sys.stderr)
        return 2
    print(report.text())
    if args.report:
        text = report.json() if args.report.suffix == ".json" else report.markdown()
        write_atomic(args.report, text.encode())
    if not report.ok:
        print(f"not written: {args.output} failed verification; see the table", file=sys.stderr)
        return 1
    print(f"written: {args.output} ({report.bytes} bytes)")
    return 0


def _words(text):
    return tuple(word for word in text.split(",") if word)


def _numbers(text):
    return tuple(float(word) for word in text.split(","))


def _value(text):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return {"true": True, "false": False}.get(text.lower(), text)


def _feed(text):
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError("NAME=VALUE")
    return name, _value(value)


def _network(text):
    name, _, options = text.partition(":")
    return name, dict(_feed(option) for option in options.split(",") if option)
