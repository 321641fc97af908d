"""Turn a finished training run into a bundled model file: ``python -m cvsr_converters.export RUN -o FAMILY_xS.onnx``.

The network is traced, rewritten, and compared with the trained one in ONNX and in OpenCV. Only if all agree is the
file written and its training record added to the ``training.json`` beside it.
"""

import argparse
import json
import logging
import os
import re
import sys
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from cvsr.errors import ModelError
from cvsr_converters.targets import write_atomic

LICENSE = "Apache-2.0"
CURVE = 40  # points of the training log that are kept


def load(run, scale):
    """Return (trained Keras model, record) of a run folder; of a multi-scale network, only the path to ``scale``.

    Raises ModelError if the run is not finished or was not for this scale.
    """
    import keras

    from cvsr_converters.training import task

    run = Path(run)
    try:
        record = json.loads((run / "record.json").read_text("utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{run} has no record.json: its training has not finished; run it to the end") from None
    model = task.built(record["recipe"]["network"])
    model.load_weights(run / "average.weights.h5")
    made = {f"x{task.Task(record['recipe']['network']).scales[0]}": model.output}
    if isinstance(model.output, dict):
        made = model.output
    if f"x{scale}" not in made:
        raise ModelError(f"{run} was not trained for x{scale}: its network outputs {', '.join(made)}")
    return keras.Model(model.input, made[f"x{scale}"], name=model.name), record


def built(model, record, name, scale, target="onnx", half=False, bits=None):
    """Return the :class:`~cvsr_converters.conversion.build.Built` file of a trained network for a target."""
    from cvsr_converters import networks
    from cvsr_converters.conversion import build
    from cvsr_converters.conversion.understand import Understood
    from cvsr_converters.facts import Facts
    from cvsr_converters.sources.keras.graph import original

    # traced as it is deployed, compared with what was trained
    deployed = replace(original(networks.collapse(model)), run=original(model).run)
    facts = networks.facts(**record["recipe"]["network"]) | Facts(scale=scale, license=LICENSE)
    return build.TARGETS[target](Understood(deployed, facts, []), name, half, bits)


def export(run, path, *, pythons=(), use=None, half=False, bits=None):
    """Write the model file of a finished run to ``path``; return the verification's Report.

    ``path`` is named FAMILY_xSCALE.onnx, or .pb for ``cv2.dnn_superres``. ``pythons`` are interpreters with other
    OpenCV versions to verify in. ``use`` says in one line what the model is for. ``half`` stores weights in 16 bits;
    ``bits`` keeps only that many significant bits, for a smaller wheel. Nothing is written if verification fails.
    """
    path = Path(path)
    named = re.fullmatch(r".+_x(\d)\.(onnx|pb)", path.name)
    if not named:
        raise ModelError(f"invalid model name {path.name}: use FAMILY_xSCALE.onnx or FAMILY_xSCALE.pb")
    model, record = load(run, int(named[1]))
    made = built(model, record, path.stem, int(named[1]), named[2], half, bits)
    report = made.verify(pythons)
    if report.ok:
        write_atomic(path, made.data)
        if named[2] == "onnx":
            _remember(path, run, record, use)
    return report


def _remember(path, run, record, use):
    """Add the training record to the ``training.json`` beside the model."""
    import cv2
    import tensorflow as tf

    book = path.with_name("training.json")
    entries = json.loads(book.read_text("utf-8")) if book.exists() else {}
    before = entries.get(path.name, {})
    finished = (Path(run) / "record.json").stat().st_mtime  # not today's date: exporting again changes nothing
    extra = {
        "use": use or before.get("use") or record["recipe"].get("use", ""),
        "date": datetime.fromtimestamp(finished, timezone.utc).date().isoformat(),
        "hardware": f"{os.cpu_count()} CPU cores",
        "versions": {"tensorflow": tf.__version__, "opencv": cv2.__version__},
        "curve": thinned(Path(run) / "log.jsonl"),
    }
    entries[path.name] = extra | record | measured(path)  # the record's own hardware and versions take precedence
    write_atomic(book, (json.dumps(dict(sorted(entries.items())), indent=1) + "\n").encode())


def measured(path, sets=("Set5", "Set14")):
    """Return {"psnr": …, "ssim": …} of the written file, run as users run it, on the available test sets."""
    from cvsr import open_model

    folders = [Path(os.environ.get("CVSR_DATA", "")) / "images" / name for name in sets]
    return quality(path, open_model(path).scale, folders) if all(folder.is_dir() for folder in folders) else {}


def quality(what, scale, folders):
    """Return {"psnr": {folder's name: …}, "ssim": …} of a model that Upscaler accepts, on folders of images."""
    from cvsr import Upscaler
    from cvsr.evaluate import evaluate

    upscaler = Upscaler(what, scale)
    results = {folder.name: evaluate(upscaler, folder, scale) for folder in folders}
    return {key: {n: round(getattr(r, key), 4) for n, r in results.items()} for key in ("psnr", "ssim")}


def thinned(log, points=CURVE):
    """Return at most ``points`` lines of a JSON-lines log, including the first and the last."""
    if not log.exists():
        return []
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines() if line.strip()]
    if len(lines) <= points:
        return lines
    return [lines[round(i * (len(lines) - 1) / (points - 1))] for i in range(points)]


def main(argv=None):
    """Export, print the report; return the exit code: 0 written, 1 refused."""
    parser = argparse.ArgumentParser(
        prog="python -m cvsr_converters.export", description="Turn a finished training run into a model file."
    )
    parser.add_argument("run", type=Path, help="the folder of a finished training run")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the file to write: FAMILY_xSCALE.onnx or .pb")
    parser.add_argument("--python", action="append", default=[], help="a Python with another OpenCV to verify in")
    parser.add_argument("--half", action="store_true", help="store the weights in 16 bits, to halve the file")
    parser.add_argument(
        "--bits",
        type=int,
        choices=range(4, 25),
        metavar="4…24",
        help="significant bits to keep of the weights, for a smaller wheel",
    )
    parser.add_argument("--use", help="what the model is for, in one line")
    args = parser.parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    try:
        report = export(args.run, args.output, pythons=args.python, use=args.use, half=args.half, bits=args.bits)
    except ModelError as error:
        print(f"not exported: {error}", file=sys.stderr)
        return 1
    print(report.markdown())
    if not report.ok:
        print(f"not written: {args.output} failed verification; see the table", file=sys.stderr)
        return 1
    print(f"written: {args.output} ({args.output.stat().st_size} bytes)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
