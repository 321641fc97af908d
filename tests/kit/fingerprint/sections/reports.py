"""What verbs print as JSON: the structure of it, and the values that do not depend on time or place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2

from sections import kit


def run(book: kit.Book) -> None:
    """Note JSON."""
    listed = book("models/structure", lambda: kit.structure(kit.answer("models", "--json")))
    if listed:
        facts = kit.answer("models", "--json")
        book.note("models/interpolations", facts["interpolations"])
        for entry in facts["models"]:
            book.note(f"models/{entry['name']}", {k: v for k, v in entry.items() if k not in ("path", "use")})
        book.note("models/order", [entry["name"] for entry in facts["models"]])
    _doctor(book)
    _measured(book)
    _timed(book)


def _doctor(book: kit.Book) -> None:
    done = kit.cvsr("doctor", "--json")
    book.note("doctor/code", done.returncode)
    report = json.loads(done.stdout)
    book.note("doctor/structure", kit.structure(report))
    book.note("doctor/ok", report["ok"])
    book.note("doctor/problems", [problem["serious"] for problem in report["problems"]])
    book.note("doctor/devices", [[device["name"], device["available"]] for device in report["devices"]])
    book.note("doctor/models", sorted(model["name"] for model in report["models"]))
    book.note("doctor/golden", [[run["device"], run.get("difference")] for run in report["golden"]])


def _measured(book: kit.Book) -> None:
    Path("images").mkdir()
    for name in ("astronaut", "coffee"):
        cv2.imwrite(f"images/{name}.png", kit.photo(name, 97, 81))
    cv2.imwrite("images/gray.png", kit.gray(width=60, height=60))
    ways: dict[str, tuple[str, ...]] = {
        "literature": (), "opencv": ("--protocol", "opencv"), "scales": ("-s", "2", "3"), "images": ("--per-image",)
    }  # fmt: skip
    for name, options in ways.items():
        command = ("eval", "cvsr-small", "bicubic", "fsrcnn", "--data", "images", *options, "--json")
        done = kit.cvsr(*command)
        book.note(f"eval/{name}/code", done.returncode)
        book(f"eval/{name}/structure", lambda done=done: kit.structure(json.loads(done.stdout)))
        book(f"eval/{name}/values", lambda done=done: _timeless(json.loads(done.stdout)))


def _timeless(value: Any) -> Any:
    """Return JSON without times, paths and machines."""
    dropped = ("seconds", "ms", "milliseconds", "path", "device", "folder", "ran_on", "opencv", "version")
    if isinstance(value, dict):
        return {key: _timeless(each) for key, each in value.items() if not any(word in key for word in dropped)}
    return [_timeless(each) for each in value] if isinstance(value, list) else value


def _timed(book: kit.Book) -> None:
    small = ("--rounds", "1", "--size", "64x48", "--threads", "1", "--json")
    for name, options in {
        "one": ("cvsr-small", *small), "several": ("espcn", "bicubic", *small, "--what", "gray", "--exact"),
        "against": ("cvsr-small", "--against", "onnxruntime", "--memory", "64x48", *small),
    }.items():  # fmt: skip
        done = kit.cvsr("bench", *options)
        book.note(f"bench/{name}/code", done.returncode)
        book(f"bench/{name}/structure", lambda done=done: kit.structure(json.loads(done.stdout)))
    layers = book("bench/layers", lambda: kit.structure(kit.answer("bench", "cvsr-small", "--layers", "--json")))
    book.note("bench/layers/models", sorted(layers["models"]) if layers else None)
    done = kit.cvsr("tune", "espcn", "--seconds", "0", "--json")
    book.note("tune/code", done.returncode)
    book("tune/structure", lambda: kit.structure(json.loads(done.stdout)))
    book("tune/again", kit.code, "tune", "--forget")
