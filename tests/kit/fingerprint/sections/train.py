"""``python -m cvsr_converters.train`` and ``export``: from a recipe of a few steps to a model file.

Weights depend on the number of threads and on TensorFlow: noted is what does not.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2

from sections import kit

RECIPE = """
use = "a test"

[network]
name = "{network}"
scale = 2
{options}

[data]
folders = ["{folder}"]
validate = ["{folder}"]
patch = 12
batch = 4

[loss]
l1 = 1

[schedule]
steps = 20
lr = 0.002
warmup = 5
log_seconds = 0
"""
NETWORKS = {"reparam": "channels = 4\nblocks = 1\nexpand = 8"}


def run(book: kit.Book) -> None:
    """Note exit codes, files, and what the exported files say."""
    folder = Path("images")
    folder.mkdir()
    for name in ("astronaut", "coffee", "chelsea"):
        cv2.imwrite(str(folder / f"{name}.png"), kit.photo(name, 101, 83))
    for network, options in NETWORKS.items():
        recipe = Path(f"{network}.toml")
        recipe.write_text(RECIPE.format(network=network, options=options, folder=folder))
        arguments = (recipe, "--out", "runs", "--cache", "cache", "--threads", "1", "--seed", "3")
        done = kit.python("-m", "cvsr_converters.train", *arguments)
        book.note(f"{network}/train", done.returncode)
        book(f"{network}/printed", lambda done=done: _structure(json.loads(done.stdout)))
        book(f"{network}/files", kit.tree, Path("runs", network))
        book(f"{network}/record", _record, Path("runs", network, "record.json"))
        _export(book, network)
    book("wrong/scale", lambda: _exported("reparam", "reparam_x3.onnx"))
    book("files", kit.tree, Path("exported"))


def _structure(value: Any) -> Any:
    """Return the structure of JSON without the commit, which is there in a clone only."""
    if isinstance(value, dict):
        return {key: _structure(each) for key, each in value.items() if key != "commit"}
    return kit.structure(value)


def _record(path: Path) -> Any:
    record = json.loads(path.read_text(encoding="utf-8"))
    return [_structure(record), record["recipe"]["network"], record["recipe"]["loss"]]


def _exported(network: str, file: str, *options: str) -> int:
    Path("exported").mkdir(exist_ok=True)
    arguments = (f"runs/{network}", "-o", f"exported/{file}", *options)
    return kit.python("-m", "cvsr_converters.export", *arguments).returncode


def _export(book: kit.Book, network: str) -> None:
    import cvsr

    ways = {f"{network}_x2.onnx": ("--use", "a test"), f"{network}-half_x2.onnx": ("--half", "--bits", "8")}
    for file, options in ways.items():
        book(f"export/{file}", lambda file=file, options=options: _exported(network, file, *options))
        path = Path("exported", file)
        if path.exists():
            info = kit.describe(cvsr.open_model(path)) | {"sha256": ""}
            book.note(f"export/{file}/info", info)
            book.note(f"export/{file}/bytes", path.stat().st_size)
    book(f"export/{network}/book", lambda: _structure(json.loads(Path("exported/training.json").read_text())))
