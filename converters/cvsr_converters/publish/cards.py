"""Write the cards (README.md) of model families: ``python -m cvsr_converters.publish.cards models/FAMILY …``.

Their content comes from ``survey.json``, ``training.json`` and the docstring of the network's module.
"""

import argparse
import importlib
import inspect
import json
import sys
import textwrap
from pathlib import Path

import onnx

from cvsr.errors import ModelError
from cvsr_converters.targets import half, write_atomic
from cvsr_converters.training import losses

CARD = Path(__file__).with_name("card.md").read_text("utf-8")
DEGRADATIONS = {
    "bicubic": "antialiased bicubic interpolation, as in the literature",
    "opencv-linear": "`cv2.resize` with INTER_LINEAR and no antialiasing, as in OpenCV's benchmark of dnn_superres",
    "real": "blur, any of OpenCV's ways to resize, noise and JPEG, at random",
}
CLEAN = "- Trained on clean reductions: noise and JPEG blocks of the input are kept, and sharpened a little."
REAL = "- It takes fine grain for noise: for clean and sharp pictures cvsr-small and cvsr-medium are better."
SHORT = """\
- Trained for minutes on a CPU, at a fraction of the paper's width where `options` say so: it stands for its paper's
  idea, not for its paper's numbers."""
GAN = "- It invents detail that is not there: not for measuring, medicine or evidence. Its PSNR is low by design."


def card(folder, survey):
    """Return the text of the card of the family in ``folder``; ``survey`` is the content of survey.json."""
    book = json.loads((folder / "training.json").read_text("utf-8"))
    scales = {int(name[-6]): name for name in book}
    rows = {scale: survey[str(scale)][name.removesuffix(".onnx")] for scale, name in scales.items()}
    first = next(iter(book.values()))
    recipe = first["recipe"]
    return CARD.format(
        family=folder.name,
        network=described(recipe["network"]["name"]),
        files="\n".join(_file(name, book[name], rows[scale]) for scale, name in scales.items()),
        scale=min(scales),
        scales=" ".join(map(str, scales)),
        others=_others(folder),
        quality="\n".join(_quality(scale, rows[scale], survey[str(scale)]["bicubic"]) for scale in scales),
        folders=", images/".join(recipe["data"]["folders"]),
        validate=" and ".join(recipe["data"]["validate"]),
        commands="\n".join(_commands(folder / name, entry) for name, entry in book.items()),
        degradation=DEGRADATIONS[recipe["data"].get("degradation", "bicubic")],
        loss=", or ".join(dict.fromkeys(_loss(entry["recipe"]["loss"]) for entry in book.values())),
        runs="\n".join(_run(name, entry) for name, entry in book.items()),
        limits="\n".join(_limits(recipe)),
    )


def _loss(terms):
    weights = {name: term["weight"] if isinstance(term, dict) else term for name, term in terms.items()}
    return " + ".join(name if weight == 1 else f"{weight:g} x {name}" for name, weight in weights.items())


def _limits(recipe):
    if losses.ADVERSARIAL.keys() & recipe["loss"].keys():
        yield GAN
    yield REAL if recipe["data"].get("degradation") == "real" else CLEAN
    if recipe["network"]["name"] != "reparam":
        yield SHORT


def described(network):
    """Return a network's docstring as Markdown: its drawing in a block of code."""
    module = importlib.import_module(f"cvsr_converters.networks.{network}")
    parts = inspect.cleandoc(module.__doc__ or "").replace("``", "`").split("\n\n")
    return "\n\n".join(f"```\n{textwrap.dedent(p)}\n```" if p.startswith("    ") else p for p in parts)


def _file(name, entry, row):
    options = ", ".join(f"{k} = {v}" for k, v in entry["recipe"]["network"].items() if k not in ("name", "scale"))
    numbers = f"{row['parameters']:,} | {row['multiplications']:,} | {row['bytes'] / 1000:.0f} KB"
    return f"| {name} | {options or 'those of the paper'} | {numbers} |"


def _others(folder):
    files = sorted(path.name for path in folder.glob("*.pb"))
    if not files:
        return ""
    names = ", ".join(files)
    return f"\n{names} are the same networks for `cv2.dnn_superres`, in place of the files that OpenCV links to.\n"


def _quality(scale, row, bicubic):
    cells = [f"{r['psnr'][s]:.2f} / {r['ssim'][s]:.4f}" for r in (row, bicubic) for s in ("Set5", "Set14")]
    return f"| x{scale} | " + " | ".join(cells) + " |"


def _commands(path, entry):
    recipe = entry["recipe"]["name"]
    bits = half.significant(onnx.load(path))
    options = f" --half{f' --bits {bits}' if bits < half.BITS else ''}" if bits else ""
    return (
        f"python -m cvsr_converters.train {recipe} --threads 1\n"
        f"python -m cvsr_converters.export runs/{recipe} -o models/{path.parent.name}/{path.name}{options}"
    )


def _run(name, entry):
    commit = entry.get("commit", "")[:10]
    made = f"{entry['steps']:,} | {entry['minutes']:g} | {entry['date']} | {commit} | {entry['versions']['tensorflow']}"
    return f"| {name} | {entry['recipe']['name']} | {made} |"


def main(argv=None):
    """Write the cards; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m cvsr_converters.publish.cards", description="Write the card (README.md) of each model family."
    )
    parser.add_argument("families", type=Path, nargs="+")
    for folder in parser.parse_args(argv).families:
        book = folder.parent / "survey.json"
        if not book.exists():
            raise ModelError(
                f"{book} is not there; make it with python -m cvsr_converters.publish.survey {folder.parent}"
            )
        write_atomic(folder / "README.md", card(folder, json.loads(book.read_text("utf-8"))).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
