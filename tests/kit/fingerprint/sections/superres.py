"""``cvsr.dnn_superres`` in place of OpenCV's: a .pb of a small network, and those of CVSR_DATA."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sections import kit, nets


def run(book: kit.Book) -> None:
    """Note results."""
    for name, scale in (("espcn", 2), ("espcn", 3), ("fsrcnn", 2)):
        path = Path(f"{name}_x{scale}.pb")
        # in a process of its own: OpenCV and TensorFlow in one can crash when OpenCV looks for devices
        book(f"{path.stem}/converted", _converted, name, scale, path)
        if path.exists():
            _drop_in(book, path, name, scale)
    _wrong(book, Path("espcn_x2.pb"))
    folder = os.environ.get("CVSR_DATA")
    book.note("data", "there" if folder else "CVSR_DATA is not set")
    for file in ("ESPCN_x3.pb", "FSRCNN_x2.pb", "FSRCNN-small_x4.pb", "LapSRN_x4.pb") if folder else ():
        path = Path(folder or "", "models", "dnn_superres_pb", file)
        name, _, scale = path.stem.lower().partition("_x")
        _drop_in(book, path, name.partition("-")[0], int(scale))


def _converted(name: str, scale: int, path: Path) -> int:
    return kit.python(nets.__file__, name, str(scale), path).returncode


def _drop_in(book: kit.Book, path: Path, name: str, scale: int) -> None:
    import cvsr
    from cvsr import dnn_superres

    base, photo = path.stem, kit.photo()
    sr = dnn_superres.DnnSuperResImpl_create()
    book.note(f"{base}/before", [sr.getAlgorithm(), sr.getScale()])
    book(f"{base}/readModel", sr.readModel, str(path))
    book.note(f"{base}/between", [sr.getAlgorithm(), sr.getScale()])
    book(f"{base}/setModel", sr.setModel, name, scale)
    book.note(f"{base}/after", [sr.getAlgorithm(), sr.getScale()])
    images = {
        "color": photo, "gray": photo[:, :, 1], "(H, W, 1)": photo[:, :, 1:2], "alpha": kit.with_alpha(photo),
        "deep": kit.deep(photo), "float": photo.astype(np.float32), "gray float": photo[:, :, 1].astype(np.float32),
    }  # fmt: skip
    for kind, image in images.items():
        book(f"{base}/upsample/{kind}", sr.upsample, image)
    book(f"{base}/upsample/1.5", sr.upsample, photo, scale=1.5)
    into = np.zeros((48 * scale, 64 * scale, 3), np.uint8)
    book(f"{base}/upsample/into", lambda: sr.upsample(photo, into) is into)
    book(f"{base}/upsample/into/wrong size", lambda: sr.upsample(photo, into[1:]).shape)
    for options in ({"exact": True}, {"tile": 20}, {"max_memory": "8M", "exact": True}):
        book(f"{base}/{options}", lambda options=options: dnn_superres.DnnSuperResImpl(path, **options).upsample(photo))
    book(f"{base}/open_model", cvsr.open_model, path)
    book(f"{base}/upscale", cvsr.upscale, photo, model=path, scale=scale)
    book(f"{base}/engine", lambda: cvsr.Upscaler(path, scale, engine="superres")(photo))
    outputs = cvsr.open_model(path).outputs
    if len(outputs) > 1:
        scales = [int([scale, *re.findall(r"\d+", output)][-1]) for output in outputs]  # NCHW_output_2x
        book(f"{base}/several", sr.upsampleMultioutput, photo, scales, list(outputs))
        given: list[Any] = []
        book(f"{base}/several of OpenCV", sr.upsampleMultioutput, photo, given, scales, list(outputs))
        book.note(f"{base}/several/given", kit.describe(given))


def _wrong(book: kit.Book, path: Path) -> None:
    from cvsr import dnn_superres

    create = dnn_superres.DnnSuperResImpl.create
    for name, act in {
        "no model": lambda: create().upsample(kit.photo()), "missing": lambda: create("missing.pb"),
        "algorithm": lambda: create(path, "steam", 2), "scale": lambda: create(path, "espcn", 9),
        "contradiction": lambda: create(path, "espcn", 4).upsample(kit.photo()),
        "another algorithm": lambda: create(path, "lapsrn", 2).upsample(kit.photo()),
        "an output": lambda: create(path, "espcn", 2).upsampleMultioutput(kit.photo(), [2], ["nothing"]),
        "numbers": lambda: create(path, "espcn", 2).upsampleMultioutput(kit.photo(), [2, 4], ["a"]),
        "result": lambda: create(path, "espcn", 2).upsample(kit.photo(), "here"),
        "definition": lambda: create().readModel(path, "other.pb"), "image": lambda: create(path).upsample(None),
    }.items():  # fmt: skip
        book(f"wrong/{name}", act)
    for strict in ("", "1"):
        os.environ["CVSR_STRICT"] = strict
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            sr = create(path)
            book(f"cuda/{strict}", sr.setPreferableBackend, cv2.dnn.DNN_BACKEND_CUDA)
            book(f"target/{strict}", sr.setPreferableTarget, cv2.dnn.DNN_TARGET_CUDA)
            book(f"default/{strict}", sr.setPreferableBackend, cv2.dnn.DNN_BACKEND_OPENCV)
            book(f"upsample/{strict}", sr.upsample, kit.photo())
        book.note(f"warnings/{strict}", [warning.category.__name__ for warning in caught])
